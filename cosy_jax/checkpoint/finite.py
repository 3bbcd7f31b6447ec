"""Whether numbers are finite, told from their bits: a NaN or an infinity among the weights makes every sample one."""

import ml_dtypes
import numpy as np

# The bits of the exponent; all of them are set in what is not finite.
_EXPONENTS = {
    np.dtype(np.float64): 0x7FF0000000000000,
    np.dtype(np.float32): 0x7F800000,
    np.dtype(np.float16): 0x7C00,
    np.dtype(ml_dtypes.bfloat16): 0x7F80,
}
_BLOCK = 2**18  # values at a time, so that what is in between stays in the caches


def all_finite(values: np.ndarray) -> bool:
    """Whether an array of floats in one piece, of any shape, holds neither NaN nor an infinity.

    The released text embedding, 136 million values, takes 0.06 s in float32 and 0.03 s in bfloat16, a quarter of what
    reading it does; `np.isfinite` takes 3 s for bfloat16.
    """
    exponent = _EXPONENTS[values.dtype]
    bits = values.reshape(-1).view(f"u{values.itemsize}")
    blocks = (bits[start : start + _BLOCK] for start in range(0, bits.size, _BLOCK))
    return all((block & bits.dtype.type(exponent)).max() != exponent for block in blocks)
