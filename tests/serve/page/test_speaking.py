"""The page in a real browser, at a real server: what is heard and seen."""

import json
from urllib.request import Request, urlopen

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.serve.browser import looking
from tests.serve.page.steps import DATA, PATIENCE, TEXT, begin, end, figure, heard
from tests.serve.process import wait_for

pytestmark = pytest.mark.slow

LONG = "The little harbour town wakes before the sun, and the boats go out. " * 3


def test_a_text_is_heard_while_it_is_made_and_kept(page, server, tmp_path):
    begin(page, LONG)
    at_first = figure(page, "duration")
    end(page)
    assert figure(page, "duration") > at_first > 0
    assert 0 < figure(page, "first-audio") < figure(page, "factor") * figure(page, "duration")
    for canvas in ("waveform", "mel"):
        colours = "id => new Set(new Uint32Array(document.getElementById(id).getContext('2d')" + (
            ".getImageData(0, 0, 300, 80).data.buffer)).size"
        )
        assert page.evaluate(colours, canvas) > (10 if canvas == "mel" else 1)
    with page.expect_download() as download:
        page.click("#history .download")
    download.value.save_as(tmp_path / "speech.wav")
    samples, rate = soundfile.read(tmp_path / "speech.wav", dtype="int16")
    assert rate == 24000
    assert len(samples) / rate == pytest.approx(figure(page, "duration"), abs=0.01)
    np.testing.assert_array_equal(samples, asked(server, input=LONG, voice="anna", seed=0))

    page.click("#history .replay")
    heard(page)
    page.keyboard.press("Escape")
    expect(page.locator("#status")).to_have_text("Stopped.")
    assert page.locator("#history li").count() == 1


def asked(server, **body: object) -> np.ndarray:
    """The samples of a request for speech."""
    content = json.dumps(body | {"response_format": "pcm"}).encode()
    request = Request(f"{server.url}/v1/audio/speech", content, {"Content-Type": "application/json"})
    with urlopen(request) as answer:
        return np.frombuffer(answer.read(), "<i2")


def test_again_takes_another_seed(page):
    begin(page)
    end(page)
    page.click("#history .again")
    expect(page.locator("#history li")).to_have_count(2, timeout=PATIENCE)
    seed = page.input_value("#seed")
    assert seed != "0"
    expect(page.locator("#history .made").first).to_contain_text(f"seed {seed}")
    end(page)


def test_a_stop_ends_it_on_the_server_too(page, server):
    wait_for(lambda: server.metric("active") == 0)  # what an earlier page left may be cancelled late
    before = server.metric('requests_total{result="cancelled"}')
    for _ in range(3):  # a slow browser may hear the beginning when the end is made already
        begin(page, LONG * 16)
        page.click("#stop")
        expect(page.locator("#player")).to_have_attribute("data-state", "idle")
        expect(page.locator("#stop")).to_be_disabled()
        wait_for(lambda: server.metric("active") == 0)
        if server.metric('requests_total{result="cancelled"}') == before + 1:
            break
    else:
        pytest.fail("No stop ended a text that was still being spoken.")
    expect(page.locator("#history li")).to_have_count(0)


def test_two_tabs_speak_at_once(page, context, server):
    with looking(context, server.url) as other:
        expect(other.locator("#voice")).to_have_value("anna")
        other.fill("#seed", "1")
        for tab in (page, other):
            tab.fill("#text", TEXT)
        page.click("#speak")
        other.click("#speak")
        for tab in (page, other):
            heard(tab)
        for tab in (page, other):
            end(tab)
            expect(tab.locator("#history li")).to_have_count(1)


def test_a_recording_is_said_in_the_voice(page):
    page.focus("#speak-tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#convert-tab")).to_be_focused()
    expect(page.locator("#speak-panel")).to_be_hidden()
    page.set_input_files("#source-recording input", DATA / "prompt_1.flac")
    page.click("#convert")
    heard(page)
    end(page)
    expect(page.locator("#history .said")).to_have_text("A recording, converted")
    expect(page.locator("#history .again")).to_be_hidden()


def test_a_text_that_is_too_long_is_not_sent(page):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.fill("#text", "𝄞" * 4097)  # two units of UTF-16 each
    expect(page.locator("#counter")).to_have_text("4097 of 4096 characters")
    page.click("#speak")
    assert not page.evaluate("document.getElementById('text').validity.valid")
    page.fill("#text", "𝄞" * 4096)
    assert page.evaluate("document.getElementById('text').validity.valid")
    assert requests == []


def test_the_spectrum_is_right(page):
    """Against NumPy's: the same Hann window of 1,024, filters of 80 triangles on the mel scale."""
    rate, hop, size, bands = 24000, 480, 1024, 80
    samples = (8000 * np.random.default_rng(0).standard_normal(4 * hop)).clip(-32768, 32767).astype(np.int16)
    found = page.evaluate(
        """async samples => {
            const { Frames } = await import('/page/spectrum.js');
            const frames = new Frames(24000);
            const all = Int16Array.from(samples);
            for (let at = 0; at < all.length; at += 333) frames.push(all.subarray(at, at + 333)); // not by hops
            return frames.mel.map(each => [...each]);
        }""",
        samples.tolist(),
    )
    assert len(found) == 4
    window = np.hanning(size + 1)[:-1] * samples[4 * hop - size :] / 32768
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.arange(bands + 2) * top / (bands + 1) / 2595) - 1)
    bins = np.arange(size // 2 + 1) * rate / size
    for band, (left, middle, right) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        weights = np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)).clip(0)
        if weights.max() > 0:
            level = np.log(weights @ np.abs(np.fft.rfft(window))) - np.log(1e-5)
            assert found[-1][band] == pytest.approx(255 * level / np.log(1e7), abs=1)
