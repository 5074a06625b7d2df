"""What holds for every test."""

import pytest
from hypothesis import settings

# Nothing is timed in a test: how long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep on one worker what shares a file, or a thing that takes a minute to make."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        group = str(item.path)
        if "finished" in fixtures:
            group = "finished"
        elif "stocked" in fixtures:
            group = f"stocked {item.path.parent}"  # the page's tests have a catalogue of their own
        item.add_marker(pytest.mark.xdist_group(group))
