"""The page in a real browser, at a real server: voices, and what is wrong with them."""

import io
import re

import numpy as np
import pytest
import soundfile
from playwright.sync_api import expect

from tests.serve.browser import looking
from tests.serve.page.steps import TEXT, heard

pytestmark = pytest.mark.slow


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
