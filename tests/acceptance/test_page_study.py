"""The listening study, from its beginning to its report."""

import re
from typing import TYPE_CHECKING

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tests.acceptance.conftest import Visit


def rate_one(page: Page, rating: str) -> None:
    heading = page.locator(".item h3")
    before = heading.inner_text()
    page.keyboard.press(rating)
    page.keyboard.press("Enter")
    page.wait_for_function(
        "before => document.querySelector('.item h3')?.innerText !== before", arg=before
    )


def test_study_from_start_to_report(visit: "Visit") -> None:
    page = visit.go("?view=study")
    form = page.locator(".new-study")
    form.get_by_label("Name").fill("Spring")
    form.get_by_label("Raters").fill("1")
    form.get_by_label("Sounds each").fill("1")
    form.get_by_label("Results of each system").fill("1")
    expect(form).to_contain_text("soundalike study new")  # what to do for what is not loaded
    expect(form.get_by_label("Beside production: baseline")).to_be_disabled()
    page.get_by_role("button", name="Begin").click()
    expect(page).to_have_url(re.compile("study="))
    page.get_by_label("Your name or initials").fill("NN")
    page.get_by_role("button", name="Take part").click()
    page.get_by_role("combobox").last.fill("tone 4")
    page.get_by_role("option").first.click()
    page.get_by_role("button", name="Later").click()
    page.get_by_role("button", name="Hear what was found").click()
    item = page.locator(".item")
    expect(item).to_be_visible()
    assert "Tone" not in item.inner_text()
    page.wait_for_function("() => !document.querySelector('audio[data-deck=b]').paused")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    rate_one(page, "7")
    page.reload()  # one goes on where one stopped
    page.get_by_role("button", name="Take part").click()
    expect(page.locator(".item h3")).to_contain_text("Item 2 of")
    page.locator(".item").focus()
    while page.locator(".item").count():
        rate_one(page, "t")
    page.get_by_role("button", name="See the report").click()
    means = page.get_by_role("region", name="Means")
    expect(means.get_by_role("row", name=re.compile("production"))).to_be_visible()
    expect(means.get_by_role("row", name=re.compile("paper"))).to_contain_text("7.8")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    with page.expect_download() as download:
        page.get_by_role("link", name="All ratings as CSV").click()
    assert download.value.path().read_text().count("\n") > 3
