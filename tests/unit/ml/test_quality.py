"""The quality benchmark goes through its folds, keeps what it has made, and says what it was."""

import json
import logging
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks import quality

SMALL = ("--folds", "2", "--recipe", "default", "--protocol", "paper,full", "--steps", "1")


@pytest.fixture
def catalogue(manifest: Path) -> Path:
    """Give every second pair of tracks another artist: folds and validation need several."""
    rows = pd.read_csv(manifest)
    rows["artist"] = [f"{n % 2} {n // 4}" for n in range(len(rows))]
    rows.to_csv(manifest.with_name("folds.csv"), index=False)
    return manifest.with_name("folds.csv")


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep results here, and leave signals and loggers as they were."""
    monkeypatch.setattr(quality, "RESAMPLES", 10)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "var"))
    before = signal.getsignal(signal.SIGTERM)
    levels = {room: logging.getLogger(room).level for room in ("ml", "benchmarks")}
    yield
    signal.signal(signal.SIGTERM, before)
    for room, level in levels.items():
        logging.getLogger(room).setLevel(level)


def test_folds_are_trained_judged_and_kept(
    catalogue: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*more: str) -> dict[str, Any]:
        command = ["quality", str(catalogue), *SMALL, "--epochs", "1", *more]
        monkeypatch.setattr("sys.argv", command)
        quality.main()
        printed = capsys.readouterr().out
        first_cells = {line.split(" | ")[0] for line in printed.splitlines()}
        assert {"| paper", "| full", "| encoder"} <= first_cells, "a table each"
        report: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return report

    def find(pattern: str) -> dict[Path, int]:
        found = (tmp_path / "var" / "quality").glob(pattern)
        return {path: path.stat().st_mtime_ns for path in found}

    first = run()
    trained = [row for row in first["rows"] if row["encoder"] == "ConvNet, default"]
    assert {row["annotation"] for row in trained} == {"genre", "mood", "track"}
    assert {row["epochs"] for row in trained} == {1}
    assert {"genre over MFCC+PCA, as in the paper"} <= {goal["goal"] for goal in first["goals"]}
    encoders = find("*/facts.json")
    assert len(encoders) == 2 * 5, "random, two baselines, untrained and trained, of each fold"
    assert not find("*/validation.npy")
    run("--judge", "validation", "--only-fold", "0")
    assert len(find("*/validation.npy")) == 5
    assert find("*/facts.json") == encoders, "none was made again"
