"""MPEG-4 files (.m4a), which libsndfile does not read: ffmpeg makes WAV files of them, where the machine has it."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cosy_jax.errors import CosyError

_LONGEST_WAIT = 300  # seconds
_LARGEST = 2**30  # bytes of the WAV file, some 90 min of 48 kHz
_LONGEST_REASON = 200


def is_mpeg4(path: Path) -> bool:
    """Whether the file begins as MPEG-4 files do (ISO 14496-12, 4.3); OSError where it cannot be read."""
    with path.open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


@contextmanager
def decoded(path: Path, name: str) -> Iterator[Path]:
    """A WAV file with the sound of an MPEG-4 file, inside the block. CosyError, beginning with `name`, where ffmpeg is
    missing or fails."""
    if (program := shutil.which("ffmpeg")) is None:
        raise CosyError(
            f"{name} is MPEG-4 audio, which ffmpeg reads: install it, or convert the file to WAV, FLAC, OGG or MP3."
        )
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "decoded.wav"
        # The format is given, since others, such as playlists, name further files and addresses.
        source = ("-f", "mov", "-protocol_whitelist", "file", "-i", f"file:{path.absolute()}")
        sound = ("-map", "0:a:0", "-c:a", "pcm_f32le", "-fs", str(_LARGEST), str(wav))
        command = [program, "-nostdin", "-v", "error", "-xerror", *source, *sound]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LONGEST_WAIT)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CosyError(f"{name} cannot be decoded ({type(error).__name__}): convert it to WAV or FLAC.") from error
        if done.returncode or not wav.is_file():
            reason = " ".join(done.stderr.decode(errors="replace").split())[-_LONGEST_REASON:]
            raise CosyError(f"{name} cannot be decoded ({reason or 'no reason given'}): convert it to WAV or FLAC.")
        if wav.stat().st_size > 0.99 * _LARGEST:
            raise CosyError(f"{name} is too long to be decoded: convert it to WAV or FLAC.")
        yield wav
