"""One comparison: its figures, its limit and whether it holds.

Where a dump holds the reference's network in float64 beside its own run, float64 is the judge (`judge`): our error may
be 1.5 times the reference's own as root mean square and 3 times in its largest value, or four roundings of float32
where that is more. A fixed limit binds as well wherever the reference's own run keeps it: it was set on a small model
in float32, and where the reference itself misses it, in a large model or in bfloat16, it says nothing about us.
Without float64 the fixed limit alone decides, in float32; in half precision there is then nothing to judge by.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cosy_jax.compare.snr import snr_db

_WORSE, _WORSE_PEAK = 1.5, 3.0
_ROUNDING = 2.0**-21  # four times that of float32
_NOT_FLOAT32 = "none: not float32"


@dataclass(frozen=True)
class Check:
    """A row of the parity table; `reference_*`: the errors of the reference's own run, where float64 is the truth."""

    name: str
    limit: str
    ok: bool
    max_abs: float | None = None
    mean_abs: float | None = None
    snr_db: float | None = None
    note: str = ""
    reference_max_abs: float | None = None
    reference_snr_db: float | None = None

    @property
    def ratio(self) -> float | None:
        """Our error over the reference's own, root mean squares; None without the latter."""
        if self.snr_db is None or self.reference_snr_db is None:
            return None
        if self.snr_db == self.reference_snr_db:  # both may be without error
            return 1.0
        return float(10 ** ((self.reference_snr_db - self.snr_db) / 20))


def _figures(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    return {
        "max_abs": float(difference.max(initial=0.0)),
        "mean_abs": float(difference.mean()) if difference.size else 0.0,
        "snr_db": snr_db(ours, theirs),
    }


def _shape_mismatch(name: str, ours: np.ndarray, theirs: np.ndarray, limit: str) -> Check | None:
    if ours.shape == theirs.shape:
        return None
    return Check(name, limit, False, note=f"shape {ours.shape}, reference {theirs.shape}")


def within(name: str, ours: np.ndarray, theirs: np.ndarray, limit: float, note: str = "") -> Check:
    """Largest absolute difference at most `limit`. A NaN fails."""
    text = f"max abs {limit:g}"
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if mismatch := _shape_mismatch(name, ours, theirs, text):
        return mismatch
    figures = _figures(ours, theirs)
    return Check(name, text, bool(figures["max_abs"] <= limit), **figures, note=note)


def within_scale(name: str, ours: np.ndarray, theirs: np.ndarray, limit: float) -> Check:
    """Largest absolute difference at most `limit` of the largest magnitude of `theirs`."""
    scale = float(np.max(np.abs(theirs)))
    check = within(name, ours, theirs, limit * scale)
    return Check(name, f"{limit:g} of {scale:.3g}", check.ok, check.max_abs, check.mean_abs, check.snr_db, check.note)


def within_log(name: str, ours: np.ndarray, theirs: np.ndarray, limit: float, floor: float) -> Check:
    """Log spectra (T, M) whose difference is at most `limit` in every cell above `floor` times its frame's peak.

    A float32 FFT is exact to some 4e-8 of a frame's peak, whatever the cell holds. In a silent band next to a loud one
    the logarithm of the reference's own rounding is larger than `limit` (the same formula in float64 is as far from
    its dump as ours); there the difference counts as if the cell lay at the floor. `max_abs` is over all cells.
    """
    text = f"{limit:g} above {floor:.2g} of peak"
    if mismatch := _shape_mismatch(name, ours, theirs, text):
        return mismatch
    peak = theirs.max(axis=1, keepdims=True)
    reference = np.maximum(theirs, peak + np.log(floor))
    error = np.abs(np.exp(ours.astype(np.float64) - reference) - np.exp(theirs.astype(np.float64) - reference))
    above = float(error.max())
    return Check(name, text, bool(above <= limit), **_figures(ours, theirs), note=f"{above:.1e} above the floor")


def equal(name: str, ours: np.ndarray, theirs: np.ndarray, exact: bool = True) -> Check:
    """All ids equal; counted only where the run is not `exact`, since in half precision near ties fall either way."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    text = "equal" if exact else _NOT_FLOAT32
    if mismatch := _shape_mismatch(name, ours, theirs, text):
        return replace(mismatch, ok=not exact)
    wrong = int(np.sum(ours != theirs))
    return Check(name, text, wrong == 0 or not exact, note=f"{ours.size - wrong} of {ours.size} equal")


def snr_at_least(name: str, ours: np.ndarray, theirs: np.ndarray, limit: float) -> Check:
    """SNR of at least `limit` dB."""
    text = f"SNR {limit:g} dB"
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if mismatch := _shape_mismatch(name, ours, theirs, text):
        return mismatch
    figures = _figures(ours, theirs)
    return Check(name, text, bool(figures["snr_db"] >= limit), **figures, note="")


Limit = Callable[[str, np.ndarray, np.ndarray, float], Check]  # `within` or `snr_at_least`


def judge(
    name: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    truth: np.ndarray | None,
    fixed: Limit,
    limit: float,
    exact: bool = True,
) -> Check:
    """`fixed` against `theirs`, or where there is a `truth` in float64, against it and by the rule above.

    `exact`: both runs are float32.
    """
    if truth is None:
        check = fixed(name, ours, theirs, limit)
        return check if exact or check.max_abs is None else replace(check, ok=True, limit=_NOT_FLOAT32)
    check, own = fixed(f"{name}, to float64", ours, truth, limit), fixed(name, theirs, truth, limit)
    if check.max_abs is None or own.max_abs is None:  # shapes differ
        return check if check.max_abs is None else own
    check = replace(check, reference_max_abs=own.max_abs, reference_snr_db=own.snr_db)
    worst = np.max(np.abs(truth), initial=0.0)
    near = bool(
        _rms(ours - truth) <= max(_WORSE * _rms(theirs - truth), _ROUNDING * _rms(truth))
        and check.max_abs <= max(_WORSE_PEAK * own.max_abs, _ROUNDING * worst)
    )
    text = f"{_WORSE:g} x reference's"
    return replace(check, ok=near and (check.ok or not own.ok), limit=f"{text}, {check.limit}" if own.ok else text)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
