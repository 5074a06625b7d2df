"""Search by listening, as a person does it."""

import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.integration.conftest import choose_ids

if TYPE_CHECKING:
    from tests.acceptance.conftest import Visit

# As text: an argument of a million numbers takes a quarter of a minute to arrive.
TAKE = """
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name, {type: "audio/wav"}));
"""
DROP = f"""([name, encoded]) => {{
    {TAKE}
    document.dispatchEvent(new DragEvent("drop", {{dataTransfer: data, bubbles: true}}));
}}"""
PASTE = f"""([name, encoded]) => {{
    {TAKE}
    const event = new ClipboardEvent("paste", {{clipboardData: data, bubbles: true}});
    document.body.dispatchEvent(event);
}}"""
REGION = """() => {
    const shadow = document.querySelector(".surface > div").shadowRoot;
    const {x, y, width, height} = shadow.querySelector("[part~=region]").getBoundingClientRect();
    return [x, y, width, height];
}"""


def titles(page: Page) -> list[str]:
    page.get_by_role("article").first.wait_for()
    return page.locator("article h3").all_inner_texts()


def region_of(page: Page) -> tuple[float, float]:
    slider = page.get_by_role("slider", name="The part that is searched by")
    minutes = re.findall(r"(\d+):([\d.]+)", slider.get_attribute("aria-valuetext") or "")
    start, end = (60 * int(m) + float(s) for m, s in minutes)
    return start, end


def drag(page: Page, x: float, y: float, dx: float) -> None:
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y, steps=5)
    page.mouse.up()


def chip(page: Page, group: str, name: str) -> Locator:
    return page.get_by_role("group", name=group).get_by_role("button", name=re.compile(name))


def test_track_found_by_name_gives_results_and_a_link(visit: "Visit") -> None:
    page = visit.go()
    expect(page.get_by_role("heading", name="Give it a sound")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("tone 3")
    page.get_by_role("option").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    found = titles(page)
    assert len(found) == 20
    expect(page).to_have_url(re.compile(r"\?track=tone_\d+&from=[\d.]+&to=[\d.]+$"))
    page.reload()
    assert titles(page) == found


def test_back_returns_to_the_search_before(visit: "Visit") -> None:
    page = visit.search(choose_ids()[0])
    before, address = titles(page), page.url
    page.keyboard.press("m")
    expect(page).not_to_have_url(address)
    page.go_back()
    expect(page).to_have_url(address)
    expect(page.locator("article h3").first).to_have_text(before[0])
    assert titles(page) == before


def test_region_moves_by_mouse_keys_and_numbers(visit: "Visit") -> None:
    page = visit.search(start=4, end=14)
    page.wait_for_function(
        "() => document.querySelector('.surface > div').shadowRoot.querySelector('[part~=region]')"
    )
    x, y, width, height = page.evaluate(REGION)
    drag(page, x + width / 2, y + height / 2, 100)
    start, end = region_of(page)
    assert start > 5
    assert end - start == pytest.approx(10, abs=0.11)
    expect(page).to_have_url(re.compile(f"from={start:g}"[:8]))
    x, y, width, height = page.evaluate(REGION)
    drag(page, x + width - 3, y + height / 2, -150)
    narrow = region_of(page)
    assert narrow[0] == pytest.approx(start, abs=0.11)
    assert narrow[1] < end
    page.get_by_role("slider", name="The part that is searched by").focus()
    page.keyboard.press("Shift+ArrowLeft")
    assert region_of(page)[0] == pytest.approx(narrow[0] - 1, abs=0.11)
    page.get_by_label("In", exact=True).fill("2.5")
    page.keyboard.press("Enter")
    page.get_by_label("Out", exact=True).fill("0:20")
    page.keyboard.press("Tab")
    assert region_of(page) == (2.5, 20.0)
    expect(page.get_by_text("are averaged")).to_be_visible()
    page.get_by_label("Out", exact=True).press("ArrowUp")
    assert region_of(page) == (2.5, 20.1)


def test_region_stays_within_its_limits(visit: "Visit") -> None:
    page = visit.search(start=4, end=14)
    page.get_by_label("Out", exact=True).fill("4.5")
    page.keyboard.press("Enter")
    start, end = region_of(page)
    assert end - start >= 2
    page.get_by_label("In", exact=True).fill("nonsense")
    page.keyboard.press("Tab")
    assert region_of(page) == (start, end)
    page.get_by_label("In", exact=True).fill("99")
    page.keyboard.press("Tab")
    assert region_of(page)[1] <= 24


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_file_of_ones_own_finds_its_like(visit: "Visit", way: str) -> None:
    page, audio = visit.go(), visit.audio
    if way == "choose":
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("u")
        chooser.value.set_files(audio)
    else:
        encoded = base64.b64encode(audio.read_bytes()).decode()
        page.evaluate(DROP if way == "drop" else PASTE, [audio.name, encoded])
    assert len(titles(page)) == 20
    expect(page.locator(".deck h2")).to_have_text(audio.stem)
    expect(page.locator("article h3").first).to_have_text("Tone 1")
    assert "track=" not in page.url


def test_recording_is_a_query(visit: "Visit") -> None:
    page = visit.go()
    page.get_by_role("button", name="Record").click()
    expect(
        page.get_by_role("button", name=re.compile("Stop 0:0[3-9]|Stop 0:[1-5]"))
    ).to_be_visible()
    page.keyboard.press("r")
    expect(page.locator(".deck h2")).to_contain_text("Recorded at")
    assert titles(page)


def test_upload_can_be_cancelled(visit: "Visit") -> None:
    page = visit.go()
    page.set_viewport_size({"width": 360, "height": 740})  # where there is least room for it
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 40_000}
    network.send("Network.emulateNetworkConditions", slow)
    page.locator("input[type=file]").first.set_input_files(visit.audio)
    page.get_by_role("button", name="Cancel").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled. Press Enter")).to_be_visible()
    network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    page.get_by_role("button", name="Search this part").click()
    assert titles(page)


def test_more_results_follow(visit: "Visit") -> None:
    page = visit.search()
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("article")).not_to_have_count(20)
    found = titles(page)
    assert len(found) > 30
    assert len(set(found)) == len(found)


def test_duplicates_are_one_result(visit: "Visit") -> None:
    page = visit.search(choose_ids()[2])
    page.get_by_role("article").first.wait_for()
    while (more := page.get_by_role("button", name="Show more")).count():
        before = page.locator("article").count()
        more.click()
        expect(page.locator("article")).not_to_have_count(before)
    assert len([title for title in titles(page) if title.startswith("Tone 0")]) == 1
    page.get_by_text("1 more version").click()
    page.locator(".versions li button").click()
    expect(page.locator(".deck h2")).to_contain_text("Tone 0")


def test_examples_for_and_against(visit: "Visit") -> None:
    page = visit.search()
    liked = titles(page)[1]
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("+")
    tray = page.get_by_role("region", name="Examples")
    expect(tray.locator(".likes")).to_have_count(2)  # the query is one
    expect(tray.locator(".likes").nth(1)).to_contain_text(liked)
    expect(page.get_by_role("heading", name="Like 2 examples")).to_be_visible()
    page.get_by_role("article").first.wait_for()
    page.keyboard.press("-")
    expect(tray.locator(".dislikes")).to_have_count(1)
    expect(page).to_have_url(re.compile("like=.*&unlike="))
    page.get_by_role("article").first.wait_for()
    found = titles(page)
    page.reload()
    assert titles(page) == found
    page.get_by_role("button", name="Back to one query").click()
    expect(tray).to_have_count(0)


def test_filters_narrow_what_is_found(visit: "Visit") -> None:
    page = visit.search()
    chip(page, "Genre", "fall").click()
    expect(page).to_have_url(re.compile("genre=fall"))
    page.get_by_role("article").first.wait_for()
    assert set(page.locator("article .tag:first-child").all_inner_texts()) == {"fall"}
    chip(page, "Mood", "tense").click()
    expect(page.get_by_text("No track passes the filters")).to_be_visible()
    page.locator(".foot").get_by_role("button", name="Clear the filters").click()
    artist = page.locator("article .artist").first
    name = artist.inner_text()
    page.keyboard.press("x")
    expect(page).to_have_url(re.compile("not=Artist"))
    page.get_by_role("article").first.wait_for()
    expect(page.locator("article .artist", has_text=name)).to_have_count(0)
    page.get_by_role("group", name="Length").get_by_role("button", name="Over 4 min").click()
    expect(page.get_by_text("No track passes the filters")).to_be_visible()


@pytest.mark.parametrize("ending", ["csv", "json", "m3u"])
def test_shortlist_is_exported(visit: "Visit", tmp_path: Path, ending: str) -> None:
    page = visit.search()
    title = titles(page)[0]
    page.keyboard.press("4")
    page.keyboard.press("s")
    page.reload()
    expect(page.locator(".kept li")).to_have_count(1)
    with page.expect_download() as download:
        page.get_by_role("button", name=ending.upper(), exact=True).click()
    download.value.save_as(tmp_path / "list")
    text = (tmp_path / "list").read_text()
    assert download.value.suggested_filename == f"shortlist.{ending}"
    assert title in text
    assert {"csv": ",4,", "json": '"rating": 4', "m3u": "#EXTVLCOPT:start-time="}[ending] in text
