"""What the embedded server takes of the machine."""

import re
from pathlib import Path

import pytest

from search import machine
from search.machine import choose_settings, usable_memory

MB = 2**20


def test_memory_is_the_least_of_machine_and_limits(tmp_path: Path) -> None:
    small, none, large = (tmp_path / name for name in ("small", "none", "large"))
    small.write_text(f"{300 * MB}\n")
    none.write_text("max\n")
    large.write_text(f"{2**63 - 4096}\n")  # what the first version of control groups says
    whole = usable_memory([])
    assert whole > 300 * MB
    assert usable_memory([tmp_path / "missing", none, large]) == whole
    assert usable_memory([none, small, large]) == 300 * MB


@pytest.mark.parametrize(
    ("memory", "buffers"), [(128, 32), (4_000, 500), (24_000, 3_000), (1_000_000, 8_192)]
)
def test_server_keeps_an_eighth_of_memory_for_pages(
    memory: int, buffers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "usable_memory", lambda: memory * MB)
    found = re.search(r"^shared_buffers = (\d+)MB$", choose_settings(), re.MULTILINE)
    assert found
    assert int(found[1]) == buffers
