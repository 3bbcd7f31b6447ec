"""How near both runs are to the reference's network in float64, as a table for PARITY.md."""

from collections.abc import Iterable

from cosy_jax.parity.check import Check

_HEADER = ("dump", "tensor", "ours, max abs", "reference's", "ours, SNR (dB)", "reference's", "ratio of rms errors")


def truth_table(results: Iterable[tuple[str, list[Check]]]) -> str:
    """The checks that float64 judged, in Markdown; "" where there is none."""
    rows = [
        (
            dump,
            check.name.removesuffix(", to float64"),
            f"{check.max_abs:.1e}",
            f"{check.reference_max_abs:.1e}",
            f"{check.snr_db:.1f}",
            f"{check.reference_snr_db:.1f}",
            f"{check.ratio:.2f}",
        )
        for dump, checks in results
        for check in checks
        if check.ratio is not None
    ]
    lines = [_HEADER, ("---",) * len(_HEADER), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""
