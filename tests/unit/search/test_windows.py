"""Where the windows of a track lie."""

import numpy as np
import pandas as pd
import pytest

from search.windows import WindowSettings, list_windows

SECOND = 16_000


def place(seconds: float, settings: WindowSettings) -> list[float]:
    """Give the starts of the windows of one track, in seconds."""
    track = {"track_id": ["a"], "digest": ["d"], "samples": [round(seconds * SECOND)]}
    windows = list_windows(pd.DataFrame(track), settings)
    assert set(windows["track_id"]) == {"a"}
    return [float(start) / SECOND for start in windows["start"]]


def test_windows_are_a_hop_apart_and_end_with_the_track() -> None:
    assert place(27, WindowSettings()) == [0, 5, 10, 15, 17]
    assert place(27, WindowSettings(window_hop_s=2.5)) == [0, 2.5, 5, 7.5, 10, 12.5, 15, 17]
    assert place(10, WindowSettings()) == [0]


@pytest.mark.parametrize("seconds", [109, 110.3, 1_000, 14_400])
def test_long_track_is_thinned_evenly_to_the_limit(seconds: float) -> None:
    starts = place(seconds, WindowSettings(max_windows=20))
    assert 19 <= len(starts) <= 20
    assert (starts[0], starts[-1]) == pytest.approx((0, seconds - 10))
    hops = np.diff(starts)
    assert hops[:-1] == pytest.approx(hops[0])
    assert hops[-1] <= hops[0] + 1e-6


def test_track_within_the_limit_keeps_its_hop() -> None:
    assert place(105, WindowSettings(max_windows=20)) == list(range(0, 100, 5))


@pytest.mark.parametrize("settings", [{"window_hop_s": 0}, {"max_windows": 1}])
def test_settings_that_place_nothing_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="correct the run's configuration"):
        WindowSettings(**settings)
