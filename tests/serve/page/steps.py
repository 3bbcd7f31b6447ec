"""What is done and looked at on the page."""

import re

from playwright.sync_api import Page, expect

from tests.reference import REPOSITORY

DATA = REPOSITORY / "tests" / "data"
TEXT = "Good morning."
PATIENCE = 550_000  # milliseconds: where nothing was compiled before
CALLED = "This is what the recording says."


def begin(page: Page, text: str = TEXT) -> None:
    """Speaks, until something is heard."""
    page.fill("#text", text)
    page.click("#speak")
    heard(page)


def heard(page: Page) -> None:
    expect(page.locator("#player")).to_have_attribute("data-state", "playing", timeout=PATIENCE)
    expect(page.locator("#player")).to_have_attribute("data-peak", re.compile(r"^(1|0\.([1-9]|0[1-9]))"))


def end(page: Page) -> None:
    """Waits until all is heard."""
    expect(page.locator("#player")).to_have_attribute("data-state", "idle", timeout=PATIENCE)
    expect(page.locator("#error")).to_be_hidden()


def figure(page: Page, name: str) -> float:
    return float(page.inner_text(f"#{name}").split()[0])
