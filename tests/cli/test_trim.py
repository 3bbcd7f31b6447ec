"""A voice of a long recording: refused as it is, made of its best part with --trim."""

import re
import warnings

import numpy as np
import pytest
import soundfile

from tests.cli.test_synthesize import RECORDING, add_voice


@pytest.mark.slow
def test_trimmed_voice_is_that_of_the_stretch(tmp_path, capsys):
    samples, rate = soundfile.read(RECORDING, dtype="float32")
    pause = np.zeros(rate // 2, np.float32)
    long = np.concatenate([pause, *[part for _ in range(9) for part in (samples, pause)]])
    soundfile.write(tmp_path / "long.wav", long, rate)
    more = ("--prompt-wav", str(tmp_path / "long.wav"))
    assert add_voice(tmp_path / "voices", "ann", *more) == 2
    assert "cut it to at most 30 s" in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert add_voice(tmp_path / "voices", "ann", *more, "--trim") == 0
    printed = capsys.readouterr()
    assert re.search(r"warning: .*long\.wav' is used from [\d.]+ s to [\d.]+ s", printed.err)
    assert 7 < float(re.search(r"seconds: +([\d.]+)", printed.out).group(1)) <= 10
