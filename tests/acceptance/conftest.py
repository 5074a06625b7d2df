"""A small catalogue, its server and a browser, shared by the tests of the page."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from ml.splits import assign_bucket, assign_split, hash_track
from tests.chromium import PATIENCE_MS
from tests.chromium import browser as browser
from tests.integration.conftest import TRACKS, choose_ids, synthesise, write_manifest
from tests.integration.web.conftest import Site
from tests.integration.web.conftest import site as site
from tests.integration.web.conftest import stocked as stocked
from tests.sharing import make_once


@pytest.fixture(scope="session")
def catalogue_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 38 tracks of 24 s that rise or fall, the first of them twice."""
    return make_once(tmp_path_factory, "page", write_tones) / "tracks.csv"


def write_tones(folder: Path) -> None:
    rows: list[Sequence[str]] = []
    seen = dict.fromkeys(TRACKS, 0)
    for number, track_id in enumerate(choose_ids()):
        split = assign_split(assign_bucket(hash_track(track_id)))
        rising, name = seen[split] % 2 == 0, f"{track_id}.wav"
        seen[split] += 1
        generator = np.random.default_rng(number)
        samples = np.concatenate([synthesise(rising, generator) for _ in range(2)])
        soundfile.write(folder / name, samples, 16_000, subtype="PCM_16")
        labels = ("rise", "tense") if rising else ("fall", "calm")
        rows.append((track_id, name, f"Tone {number}", f"Artist {number % 8}", "", *labels))
    first, path, title, *rest = rows[0]
    rows.append((f"{first}_again", path, f"{title}, reissued", *rest))
    write_manifest(folder, rows)


@dataclass
class Visit:
    """A person's visit; what the page's console complains of fails the test."""

    page: Page
    site: Site
    expected: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def audio(self) -> Path:
        """A file to search by: the second track of the catalogue."""
        return self.site.home.manifest.parent / f"{choose_ids()[1]}.wav"

    def hear(self, message: ConsoleMessage) -> None:
        """Keep an error or a warning."""
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def go(self, query: str = "") -> Page:
        """Open the page."""
        self.page.goto(f"{self.site.url}/{query}")
        self.page.locator("body[data-view]").wait_for()  # its keys are listened to
        return self.page

    def search(self, track_id: str | None = None, start: float = 4, end: float = 14) -> Page:
        """Open a search by a segment and wait for its results."""
        self.go(f"?track={track_id or choose_ids()[0]}&from={start}&to={end}")
        self.page.get_by_role("article").first.wait_for()
        return self.page

    def check(self) -> None:
        """Nothing was refused by the content security policy, nothing threw."""
        left = [text for text in self.complaints if not any(e in text for e in self.expected)]
        assert not left, left


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Visit]:
    """Come as a new visitor."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    with visiting(context, site) as visit:
        yield visit


@contextmanager
def visiting(context: BrowserContext, site: Site) -> Iterator[Visit]:
    """Open a tab and listen to its console."""
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    visit = Visit(page, site)
    page.on("console", visit.hear)
    # Asked for with the key press that opens it, a chooser can open before Chromium hands it over.
    page.on("filechooser", lambda _: None)
    page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    yield visit
    context.close()
    visit.check()
