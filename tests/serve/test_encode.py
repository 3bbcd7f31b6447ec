"""Every format, piece by piece: nothing is lost, and what has come can be played."""

import io

import av
import numpy as np
import pytest

from cosy_jax.audio.write import pcm16
from cosy_jax.compare.snr import snr_db
from cosy_jax.serve.encode import FORMATS, make_encoder

RATE = 24_000
TIME = np.arange(3 * RATE) / RATE
SPEECHLIKE = (
    0.3 * np.sin(2 * np.pi * 180 * TIME) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * TIME)) + 0.05 * np.sin(5000 * TIME)
).astype(np.float32)
LOSSLESS = ("flac", "wav", "pcm")


def pieces(audio, sizes=(960, 24_000, 7, 31_000)):
    start = 0
    for size in (*sizes, len(audio)):
        yield audio[start : start + size]
        start += size


def streamed(form, audio):
    encoder = make_encoder(form, RATE)
    return [*(encoder.encode(piece) for piece in pieces(audio)), encoder.finish()]


def decoded(form, data):
    """Samples float32 at 24 kHz, without the codec's delay where its container tells it."""
    if form == "pcm":
        return np.frombuffer(data, "<i2") / 32767
    samples = []
    with av.open(io.BytesIO(data)) as file:
        resampler = av.AudioResampler("flt", "mono", RATE)
        for frame in file.decode(audio=0):
            samples += [part.to_ndarray()[0] for part in resampler.resample(frame)]
        samples += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.concatenate(samples)


def aligned(audio, found, most=6000):
    """The stretch of `found` that fits best: lossy codecs begin with a delay."""
    middle = audio[RATE : 2 * RATE]
    delays = np.arange(most)
    errors = [np.square(found[RATE + delay : 2 * RATE + delay] - middle).sum() for delay in delays]
    return found[delays[np.argmin(errors)] :][: len(audio)], int(delays[np.argmin(errors)])


@pytest.mark.parametrize("form", LOSSLESS)
def test_lossless_formats_give_every_sample_back(form):
    expected = np.frombuffer(pcm16(SPEECHLIKE), "<i2")
    found = decoded(form, b"".join(streamed(form, SPEECHLIKE)))
    scale = 32767 if form == "pcm" else 32768
    np.testing.assert_array_equal(np.round(found * scale).astype(np.int16), expected)


@pytest.mark.parametrize("form", sorted(FORMATS.keys() - set(LOSSLESS)))
def test_lossy_formats_are_close_and_lose_no_tail(form):
    found, delay = aligned(SPEECHLIKE, decoded(form, b"".join(streamed(form, SPEECHLIKE))))
    assert len(found) == len(SPEECHLIKE) and delay <= 3000
    assert snr_db(found[1000:-1000], SPEECHLIKE[1000:-1000]) > 15
    assert np.abs(found[-2000:]).max() > 0.1


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_the_first_second_can_be_played_before_the_second_one_comes(form):
    encoder = make_encoder(form, RATE)
    data = b"".join(encoder.encode(piece) for piece in np.split(SPEECHLIKE[: 2 * RATE], 4))
    found = decoded(form, data)
    assert len(found) > 1.5 * RATE and np.abs(found[RATE // 2 :]).max() > 0.2


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_nothing_spoken_is_a_file_that_ends(form):
    encoder = make_encoder(form, RATE)
    assert isinstance(encoder.finish(), bytes)
