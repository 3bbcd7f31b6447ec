"""One server and one browser for all tests of the page."""

import pytest
import soundfile
from playwright.sync_api import expect

from tests.serve.browser import browsing, looking
from tests.serve.page.steps import CALLED, DATA, PATIENCE
from tests.serve.process import serving


@pytest.fixture(scope="package")
def voices(tmp_path_factory):
    return tmp_path_factory.mktemp("voices")


@pytest.fixture(scope="package")
def server(voices):
    with serving(voices) as server:
        yield server


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def anna(browser, server):
    """A voice that was uploaded on the page."""
    with looking(browser.new_context(), server.url) as page:
        expect(page.locator("#voice-about")).to_contain_text("no voice yet")
        page.set_input_files("#voice-recording input", DATA / "prompt_0.flac")
        page.fill("#transcript", CALLED)
        page.fill("#voice-name", "anna")
        page.click("#save-voice")
        expect(page.locator("#voice")).to_have_value("anna", timeout=PATIENCE)
        expect(page.locator("#voice-about")).to_have_text(f"4.2 s, “{CALLED}”")
    return "anna"
