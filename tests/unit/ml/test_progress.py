"""Progress passes items through, and says how far it is and how long it takes."""

import itertools
import logging
import time
from collections.abc import Callable

import pytest

from ml.progress import track_progress

LOGGER = logging.getLogger("test_progress")
Pass = Callable[[float], None]


@pytest.fixture
def let_pass(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Let seconds pass at once."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def let_pass(seconds: float) -> None:
        now[0] += seconds

    return let_pass


def test_items_pass_through_and_fast_work_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert list(track_progress(range(100), 100, "things done", LOGGER)) == list(range(100))
    assert not caplog.messages


def test_slow_work_says_how_far_how_fast_and_how_long(
    caplog: pytest.LogCaptureFixture, let_pass: Pass
) -> None:
    caplog.set_level(logging.INFO)
    for _ in track_progress(range(2), 2000, "things done", LOGGER):
        let_pass(5)
    assert caplog.messages == [
        "1 of 2,000 things done, 0.2/s, 9995 s left",
        "2 of 2,000 things done, 0.2/s, 9990 s left",
    ]


def test_lines_keep_their_distance(caplog: pytest.LogCaptureFixture, let_pass: Pass) -> None:
    caplog.set_level(logging.INFO)
    for _ in track_progress(range(10), 10, "things done", LOGGER):
        let_pass(2)
    assert len(caplog.messages) == 3  # after 6, 12 and 18 seconds


def test_work_is_taken_one_by_one() -> None:
    endless = track_progress(itertools.count(), 1, "things done", LOGGER)
    assert list(itertools.islice(endless, 3)) == [0, 1, 2]
