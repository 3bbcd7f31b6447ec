"""The page in a real browser, at a real server."""

import io
import json
import re
import time
from urllib.request import Request, urlopen

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Page, expect

from tests.reference import REPOSITORY
from tests.serve.browser import browsing, looking, serving

pytestmark = pytest.mark.slow

DATA = REPOSITORY / "tests" / "data"
TEXT = "Good morning."
LONG = "The little harbour town wakes before the sun, and the boats go out. " * 3
KEY = "a key of the page's tests"
_PATIENCE = 550_000  # milliseconds: where nothing was compiled before
_CALLED = "This is what the recording says."


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    return tmp_path_factory.mktemp("voices")


@pytest.fixture(scope="module")
def server(voices):
    with serving(voices) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    microphone = tmp_path_factory.mktemp("microphone") / "prompt.wav"
    soundfile.write(microphone, *soundfile.read(DATA / "prompt_0.flac"))
    fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with browsing(*fake, f"--use-file-for-fake-audio-capture={microphone}") as browser:
        yield browser


@pytest.fixture
def context(browser):
    context = browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(60_000)
    yield context
    context.close()


@pytest.fixture
def page(context, server, anna):
    with looking(context, server.url) as page:
        expect(page.locator("#voice")).to_have_value(anna)
        yield page


@pytest.fixture(scope="module")
def anna(browser, server):
    """A voice that was uploaded on the page."""
    with looking(browser.new_context(), server.url) as page:
        expect(page.locator("#voice-about")).to_contain_text("no voice yet")
        page.set_input_files("#voice-recording input", DATA / "prompt_0.flac")
        page.fill("#transcript", _CALLED)
        page.fill("#voice-name", "anna")
        page.click("#save-voice")
        expect(page.locator("#voice")).to_have_value("anna", timeout=_PATIENCE)
        expect(page.locator("#voice-about")).to_have_text(f"4.2 s, “{_CALLED}”")
    return "anna"


def begin(page: Page, text: str = TEXT) -> None:
    """Speaks, until something is heard."""
    page.fill("#text", text)
    page.click("#speak")
    heard(page)


def heard(page: Page) -> None:
    expect(page.locator("#player")).to_have_attribute("data-state", "playing", timeout=_PATIENCE)
    expect(page.locator("#player")).to_have_attribute("data-peak", re.compile(r"^(1|0\.([1-9]|0[1-9]))"))


def end(page: Page) -> None:
    """Waits until all is heard."""
    expect(page.locator("#player")).to_have_attribute("data-state", "idle", timeout=_PATIENCE)
    expect(page.locator("#error")).to_be_hidden()


def figure(page: Page, name: str) -> float:
    return float(page.inner_text(f"#{name}").split()[0])


def metric(server, name: str) -> float:
    with urlopen(f"{server.url}/metrics") as answer:
        text = answer.read().decode()
    found = re.search(rf"^cosy_jax_{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_for(condition) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.2)


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
    expect(page.locator("#history li")).to_have_count(2, timeout=_PATIENCE)
    seed = page.input_value("#seed")
    assert seed != "0"
    expect(page.locator("#history .made").first).to_contain_text(f"seed {seed}")
    end(page)


def test_a_stop_ends_it_on_the_server_too(page, server):
    before = metric(server, 'requests_total{result="cancelled"}')
    begin(page, LONG * 4)
    page.click("#stop")
    expect(page.locator("#player")).to_have_attribute("data-state", "idle")
    expect(page.locator("#stop")).to_be_disabled()
    wait_for(lambda: metric(server, 'requests_total{result="cancelled"}') == before + 1)
    wait_for(lambda: metric(server, "active") == 0)
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


def test_a_voice_is_recorded(page):
    """The upload is answered here: that a voice is computed from one is tested above."""
    sent = []

    def take(route):
        if route.request.method != "POST":
            route.continue_()
            return
        sent.append(route.request.post_data_buffer)
        route.fulfill(status=201, json={"id": "mine"})

    page.route("**/v1/audio/voices", take)
    page.click("#new-voice summary")
    page.click("#voice-recording .record")
    expect(page.locator("#voice-recording .recorded")).to_have_text(re.compile(r"^([2-9]|1\.[6-9])"))
    page.click("#voice-recording .record")
    expect(page.locator("#voice-recording audio")).to_be_visible()
    page.fill("#voice-name", "mine")
    page.click("#save-voice")
    expect(page.locator("#status")).to_contain_text("mine is saved")
    (body,) = sent
    samples, rate = soundfile.read(io.BytesIO(body[body.index(b"RIFF") :]))
    assert len(samples) > 1.5 * rate
    assert np.abs(samples).max() > 0.01


def test_a_voice_is_previewed_and_removed(page, server, voices):
    source = next(voices.glob("anna*"))
    (voices / source.name.replace("anna", "zoe")).write_bytes(source.read_bytes())
    page.reload()
    page.select_option("#voice", "zoe")
    page.click("#preview")
    heard(page)
    page.click("#stop")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("#remove")
    expect(page.locator("#voice")).to_have_value("zoe")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#remove")
    expect(page.locator("#voice")).to_have_value("anna")
    assert [path.name for path in voices.iterdir()] == [source.name]


def test_errors_are_told_in_the_servers_words(context, server, anna):
    with looking(context, server.url, expected="status of 4") as page:
        expect(page.locator("#voice")).to_have_value("anna")
        page.click("#new-voice summary")
        page.set_input_files(
            "#voice-recording input", {"name": "noise.wav", "mimeType": "audio/wav", "buffer": b"noise" * 100}
        )
        page.fill("#voice-name", "noise")
        page.click("#save-voice")
        expect(page.locator("#error")).to_contain_text("Cannot read the recording as audio")
        page.fill("#text", TEXT)
        page.select_option("#mode", "instruct")
        page.click("#speak")
        expect(page.locator("#error")).to_contain_text("instruct")
        expect(page.locator("#player")).to_have_attribute("data-state", "idle")


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


def test_keys_and_a_server_that_goes(context, voices, anna, tmp_path):
    (tmp_path / "keys.txt").write_text(KEY)
    with (
        serving(voices, "--api-key-file", str(tmp_path / "keys.txt")) as server,
        looking(context, server.url, expected="Failed to load resource") as page,
    ):
        expect(page.locator("#error")).to_contain_text("API key")
        expect(page.locator("#key")).to_be_focused()
        page.fill("#key", "a wrong key of the page's tests")
        page.keyboard.press("Enter")
        expect(page.locator("#error")).to_contain_text("Wrong or missing API key")
        page.fill("#key", KEY)
        page.keyboard.press("Enter")
        expect(page.locator("#voice")).to_have_value("anna")
        expect(page.locator("#key-form")).to_be_hidden()
        assert page.evaluate("localStorage.length") == 0
        assert context.cookies() == []
        page.reload()
        expect(page.locator("#voice")).to_have_value("anna")

        page.fill("#text", TEXT)
        page.keyboard.press("Control+Enter")
        expect(page.locator("#player")).to_have_attribute("data-state", "waiting")
        server.end()
        gone = "The server does not answer: it has stopped, or the connection is broken."
        expect(page.locator("#error")).to_have_text(gone)
        expect(page.locator("#player")).to_have_attribute("data-state", "idle")
        page.click("#preview")
        expect(page.locator("#player")).to_have_attribute("data-state", "idle")
        expect(page.get_by_role("alert")).to_have_text(gone)


def test_the_policy_holds(context, server):
    """What the other tests see nothing of would be stopped."""
    with looking(context, server.url, expected="Content Security Policy") as page:
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'bad = 1'}))")
        assert page.evaluate("typeof bad") == "undefined"
        assert page.evaluate("fetch('https://example.com').then(() => 'fetched', () => 'refused')") == "refused"


def test_everything_has_a_name_and_fits_a_phone(page):
    nameless = """[...document.querySelectorAll('button, input, select, textarea, canvas, audio')].filter(
        each => !each.labels?.length && !each.ariaLabel && !each.textContent.trim()).map(each => each.outerHTML)"""
    assert page.evaluate(nameless) == []
    page.set_viewport_size({"width": 320, "height": 640})
    for tab in ("#convert-tab", "#speak-tab"):
        page.click(tab)
        assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.fill("#text", TEXT)
    page.click("#speak")
    expect(page.locator("#stop")).to_be_in_viewport()
    page.click("#stop")


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
