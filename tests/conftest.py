"""What holds for every test."""

import pytest
from hypothesis import settings

# Nothing is timed in a test: how long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let a file's tests share a worker, and all that start from the one finished pipeline."""
    for item in items:
        finished = "finished" in getattr(item, "fixturenames", ())
        group = "finished" if finished else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
