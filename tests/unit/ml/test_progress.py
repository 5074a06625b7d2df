"""Progress passes items through, and says how far it is and how long it takes."""

import itertools
import logging
import time

import pytest

from ml.progress import track_progress

LOGGER = logging.getLogger("test_progress")


def test_items_pass_through_and_fast_work_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert list(track_progress(range(100), 100, "things done", LOGGER)) == list(range(100))
    assert not caplog.messages


def test_slow_work_says_how_far_how_fast_and_how_long(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in track_progress(range(3), 2000, "things done", LOGGER, every=0.04):
        time.sleep(0.05)
    assert len(caplog.messages) == 3
    words = caplog.messages[-1].split()
    assert caplog.messages[-1].startswith("3 of 2,000 things done, ")
    rate = float(words[5].removesuffix("/s,"))
    assert 5 < rate <= 20
    assert float(words[6]) == pytest.approx(1997 / rate, rel=0.05)


def test_lines_keep_their_distance(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in track_progress(range(10), 10, "things done", LOGGER, every=0.05):
        time.sleep(0.01)
    assert 1 <= len(caplog.messages) <= 2


def test_work_is_taken_one_by_one() -> None:
    endless = track_progress(itertools.count(), 1, "things done", LOGGER)
    assert list(itertools.islice(endless, 3)) == [0, 1, 2]
