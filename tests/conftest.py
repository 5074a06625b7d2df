"""What holds for every test."""

import os

import pytest
from hypothesis import settings

# The tests' processes share the cores: threads of each would spin while they wait for a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Nothing is timed in a test: how long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

LONGEST = ("test_daemon.py", "test_killed_refresh.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest: a core that is left with them at the end works alone."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
