"""The page for everybody: screen readers, keyboards, small and large screens, light and dark."""

from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.acceptance.conftest import visiting
from tests.integration.conftest import choose_ids

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.acceptance.conftest import Visit
    from tests.integration.web.conftest import Site

FEATURES = {"light": (1280, 800), "dark": (360, 740)}


def assert_accessible(page: "Page") -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser: Browser, site: "Site", scheme: str) -> None:
    width, height = FEATURES[scheme]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    with visiting(context, site) as visit:
        page = visit.go()
        page.locator(".suggestions .chip").first.wait_for()
        assert_accessible(page)
        visit.search()
        for key in ("j", "s", "3", "+"):
            page.keyboard.press(key)
        page.get_by_role("heading", name="Like 2 examples").wait_for()
        page.get_by_role("article").first.wait_for()
        page.evaluate("document.querySelectorAll('.side details').forEach(d => d.open = true)")
        assert_accessible(page)
        page.keyboard.press("?")
        assert_accessible(page)
        visit.go("?view=map")
        page.get_by_text("as model").wait_for()
        assert_accessible(page)


@pytest.mark.parametrize("width", [360, 768, 1920])
def test_nothing_is_wider_than_the_screen(browser: Browser, site: "Site", width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    with visiting(context, site) as visit:
        for query in ("", f"?track={choose_ids()[0]}&from=4&to=14", "?view=map", "?view=study"):
            page = visit.go(query)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, query


def test_search_to_shortlist_by_keyboard_alone(visit: "Visit") -> None:
    page = visit.go()
    for key in ("Tab", "Enter"):  # over the head of the page, to the search
        page.keyboard.press(key)
    page.keyboard.press("Tab")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("tone 5")
    page.get_by_role("option").first.wait_for()
    page.keyboard.press("Enter")
    page.get_by_role("article").first.wait_for()
    expect(page.get_by_role("status").filter(has_text="20 results")).to_have_count(1)
    for key in ("j", "j", "s", "5"):
        page.keyboard.press(key)
    expect(page.locator("article").nth(1)).to_be_focused()
    expect(page.locator(".kept li")).to_have_count(1)
    page.keyboard.press("Tab")
    focused = page.locator("article").nth(1).get_by_role("button", name="Play from the match")
    expect(focused).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("v")
    expect(page.get_by_role("heading", name="Map of the catalogue")).to_be_visible()


def test_theme_is_kept(visit: "Visit") -> None:
    page = visit.go()
    page.get_by_role("button", name="Light or dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
