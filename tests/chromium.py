"""A real browser for the tests that look at pages."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

NO_BROWSER = (
    "No Chromium is here: install one with `apt-get install chromium`, "
    "or `.venv/bin/playwright install chromium`."
)
PATIENCE_MS = 60_000  # the first upload loads the encoder; how long things take is not tested
SWITCHES = (
    "--no-sandbox",
    "--use-fake-device-for-media-stream",  # a microphone that beeps
    "--use-fake-ui-for-media-stream",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the machine's Chromium, or Playwright's own.

    Its event loop has to end before a test of another room runs one.
    """
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    expect.set_options(timeout=PATIENCE_MS / 2)
    with sync_playwright() as playwright:
        path = found or playwright.chromium.executable_path
        if not os.access(path, os.X_OK):
            pytest.skip(NO_BROWSER)
        browser = playwright.chromium.launch(executable_path=path, args=SWITCHES)
        yield browser
        browser.close()
