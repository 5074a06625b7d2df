"""What is heard: from where, of which deck, how loud."""

import re
from typing import TYPE_CHECKING, NamedTuple

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.integration.conftest import choose_ids

if TYPE_CHECKING:
    from tests.acceptance.conftest import Visit


class Deck(NamedTuple):
    """State of an audio element."""

    paused: bool
    seconds: float


def decks(page: Page) -> dict[str, Deck]:
    state = "[a.dataset.deck, a.paused, a.currentTime]"
    script = f"[...document.querySelectorAll('audio[data-deck]')].map(a => {state})"
    return {name: Deck(paused, seconds) for name, paused, seconds in page.evaluate(script)}


def wait_to_hear(page: Page, deck: str, beyond: float) -> float:
    """Wait until a deck has played past a moment."""
    script = f"""() => {{
        const audio = document.querySelector('audio[data-deck="{deck}"]');
        return !audio.paused && audio.currentTime > {beyond};
    }}"""
    page.wait_for_function(script)
    return decks(page)[deck].seconds


def start_of(page: Page, row: int) -> float:
    text = page.locator("article .when").nth(row).inner_text()
    minutes, seconds = re.findall(r"(\d+):([\d.]+)", text)[0]
    return 60 * int(minutes) + float(seconds)


def test_result_plays_from_its_match_at_one_click(visit: "Visit") -> None:
    page = visit.search()
    start = start_of(page, 1)
    page.locator("article").nth(1).get_by_role("button", name="Play from the match").click()
    heard = wait_to_hear(page, "b", start + 0.2)
    assert heard < start + 10
    expect(page.locator("article.on")).to_have_count(1)
    page.locator("article").nth(2).get_by_role("button", name="Play from the match").click()
    wait_to_hear(page, "b", start_of(page, 2) + 0.1)
    assert len(decks(page)) == 2
    assert sum(not deck.paused for deck in decks(page).values()) == 1


def test_result_plays_at_one_key(visit: "Visit") -> None:
    page = visit.search()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    wait_to_hear(page, "b", start_of(page, 0) + 0.1)
    page.keyboard.press(" ")
    assert all(deck.paused for deck in decks(page).values())


def test_click_on_a_strip_plays_from_there(visit: "Visit") -> None:
    page = visit.search()
    strip = page.locator("article .strip").first
    box = strip.bounding_box()
    assert box is not None
    strip.click(position={"x": box["width"] * 0.75, "y": 10})
    wait_to_hear(page, "b", 17.9)  # the match lies before


def test_a_and_b_change_at_one_key_one_at_a_time(visit: "Visit") -> None:
    page = visit.search(start=4, end=14)
    page.keyboard.press("q")
    wait_to_hear(page, "a", 4.2)
    assert decks(page)["b"].paused
    page.keyboard.press("a")
    wait_to_hear(page, "b", start_of(page, 0))
    assert decks(page)["a"].paused
    page.keyboard.press("a")
    wait_to_hear(page, "a", 4)
    assert decks(page)["b"].paused


def test_both_decks_come_to_one_loudness(visit: "Visit") -> None:
    """The gain that is shown is what the ten seconds that play lack to -23 LUFS."""
    page = visit.search(start=4, end=14)
    found = visit.site.search(track_id=choose_ids()[0], start_ms=4000, end_ms=14_000)
    for row in (0, 1):
        page.locator("article").nth(row).get_by_role("button", name="Play from the match").click()
        shown = float(page.locator(".gain").inner_text().removesuffix(" dB"))
        assert shown == pytest.approx(-23 - found["results"][row]["loudness_lufs"], abs=0.11)
    page.keyboard.press("a")
    shown = float(page.locator(".gain").inner_text().removesuffix(" dB"))
    assert shown == pytest.approx(-23 - found["query"]["loudness_lufs"], abs=0.11)


def test_part_loops_until_it_is_told_not_to(visit: "Visit") -> None:
    page = visit.search(start=4, end=6)
    page.keyboard.press("q")
    wait_to_hear(page, "a", 5)
    page.wait_for_function("() => document.querySelector('audio[data-deck=a]').currentTime < 5")
    page.keyboard.press("l")
    wait_to_hear(page, "a", 6.3)


def test_in_and_out_are_set_where_it_plays(visit: "Visit") -> None:
    page = visit.search(start=4, end=14)
    page.keyboard.press("q")
    wait_to_hear(page, "a", 5)
    page.keyboard.press("i")
    entered = float((page.get_by_label("In", exact=True).input_value()).split(":")[1])
    assert 4 <= entered < 14
    assert entered != 4


def test_going_through_results_plays_them_when_asked(visit: "Visit") -> None:
    page = visit.search()
    page.get_by_label("Play as I go").check()
    page.keyboard.press("j")
    page.keyboard.press("j")
    wait_to_hear(page, "b", start_of(page, 1) + 0.1)
    expect(page.locator("article").nth(1)).to_be_focused()


def test_map_plays_what_is_pointed_at(visit: "Visit") -> None:
    page = visit.go("?view=map")
    canvas = page.get_by_role("application", name=re.compile("Map"))
    expect(page.get_by_text("as model")).to_be_visible()
    canvas.focus()
    page.keyboard.press("ArrowRight")
    card = page.locator(".map-card")
    expect(card).to_be_visible()
    page.keyboard.press("Enter")
    wait_to_hear(page, "b", 0.1)
    playing = page.locator("audio[data-deck=b]").get_attribute("src")
    excerpt = requests.get(f"{visit.site.url}{playing}".replace("/audio", "/peaks"), timeout=60)
    expected = -23 - excerpt.json()["excerpt"]["loudness_lufs"]
    assert float(page.locator(".gain").inner_text().removesuffix(" dB")) == pytest.approx(
        min(expected, 12), abs=0.06
    )
    first = card.locator("b").inner_text()
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    expect(card.locator("b")).not_to_have_text(first)
    page.keyboard.press("m")
    page.get_by_role("article").first.wait_for()
    expect(page).to_have_url(re.compile(r"\?track="))
