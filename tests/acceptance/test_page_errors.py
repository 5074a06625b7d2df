"""What goes wrong is said in one line, with what to do."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, FilePayload, Page, expect

from search.tokens import add_token
from tests.acceptance.conftest import visiting
from tests.integration.web.conftest import Site, serve

if TYPE_CHECKING:
    from tests.acceptance.conftest import Visit


def upload(page: Page, name: str, data: bytes) -> None:
    file = FilePayload(name=name, mimeType="audio/wav", buffer=data)
    page.locator("input[type=file]").first.set_input_files(file)


def test_file_that_is_no_audio(visit: "Visit") -> None:
    page = visit.go()
    upload(page, "notes.wav", b"no music")
    expect(page.get_by_role("alert")).to_contain_text("choose a wav, flac, mp3 or ogg file")


def test_file_too_short_for_a_search(visit: "Visit") -> None:
    page = visit.go()
    visit.expected = ["422", "400"]
    upload(page, "blip.wav", visit.audio.read_bytes()[: 44 + 32_000])
    line = page.get_by_role("alert")
    expect(line).to_be_visible()
    assert len(line.locator("p").inner_text()) > 20


def test_track_that_is_not_there(visit: "Visit") -> None:
    visit.expected = ["404"]
    page = visit.go("?track=nowhere&from=0&to=10")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_server_that_cannot_be_reached(visit: "Visit") -> None:
    visit.expected = ["ERR_INTERNET_DISCONNECTED"]
    page = visit.search()
    page.context.set_offline(True)
    page.get_by_role("button", name="Search this part").click()
    expect(page.get_by_role("alert")).to_contain_text("check that it runs")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("article").first).to_be_visible()


def test_microphone_that_is_refused(visit: "Visit") -> None:
    page = visit.go()
    refuse = "navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('no'))"
    page.evaluate(f"() => {{ {refuse} }}")  # an expression that is a function would be called
    page.keyboard.press("r")
    expect(page.get_by_role("alert")).to_contain_text("allow it for this page")


def test_clipboard_without_sound(visit: "Visit") -> None:
    page = visit.go()
    event = "new ClipboardEvent('paste', {clipboardData: new DataTransfer(), bubbles: true})"
    page.evaluate(f"document.body.dispatchEvent({event})")
    expect(page.get_by_text("copy a sound file")).to_be_visible()


def test_token_is_asked_for_once(browser: Browser, site: Site, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.json"
    token = add_token(tokens, "someone", "listen")
    with (
        serve(site.home, tmp_path, "/healthz", API_TOKENS_FILE=str(tokens)) as locked,
        visiting(browser.new_context(), locked) as visit,
    ):
        visit.expected = ["401"]
        page = visit.go()
        page.get_by_label(re.compile("This server is for people")).fill("wrong")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("alert")).to_be_visible()
        page.get_by_label(re.compile("This server is for people")).fill(token)
        page.get_by_role("button", name="Open").click()
        expect(page.locator(".suggestions .chip").first).to_be_visible()
        page.reload()
        expect(page.locator(".suggestions .chip").first).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("dialog")).to_be_visible()
