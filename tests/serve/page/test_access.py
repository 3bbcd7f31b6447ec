"""The page in a real browser: keys, a server that goes, what it may load, and whom it fits."""

import pytest
from playwright.sync_api import expect

from tests.serve.browser import looking
from tests.serve.page.steps import TEXT
from tests.serve.process import serving

pytestmark = pytest.mark.slow

KEY = "a key of the page's tests"


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
