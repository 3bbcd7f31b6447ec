"""One comparison: its figures, its limit and whether it holds."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Check:
    """A row of the parity table."""

    name: str
    limit: str
    ok: bool
    max_abs: float | None = None
    mean_abs: float | None = None
    snr_db: float | None = None
    note: str = ""


def snr_db(ours: np.ndarray, truth: np.ndarray) -> float:
    """Signal-to-noise ratio of `ours` against `truth`, of one shape, in dB; inf where they are equal."""
    truth = truth.astype(np.float64)
    error = np.sum((ours.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(np.sum(truth**2) / error)) if error else float("inf")


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


def equal(name: str, ours: np.ndarray, theirs: np.ndarray) -> Check:
    """All ids equal."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if mismatch := _shape_mismatch(name, ours, theirs, "equal"):
        return mismatch
    wrong = int(np.sum(ours != theirs))
    return Check(name, "equal", wrong == 0, note=f"{ours.size - wrong} of {ours.size} equal")


def snr_at_least(
    name: str, ours: np.ndarray, truth: np.ndarray, limit: float, reference: np.ndarray | None = None
) -> Check:
    """SNR of at least `limit` dB and, given the reference's own float32 run, at most 3 dB below its SNR."""
    text = f"SNR {limit:g} dB"
    ours, truth = np.asarray(ours), np.asarray(truth)
    if mismatch := _shape_mismatch(name, ours, truth, text):
        return mismatch
    figures, note = _figures(ours, truth), ""
    if reference is not None:
        own = snr_db(reference, truth)
        limit, note = max(limit, own - 3), f"reference's float32: {own:.1f} dB"
    return Check(name, text, bool(figures["snr_db"] >= limit), **figures, note=note)
