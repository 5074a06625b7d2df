"""Encoders are scored on the tracks that are asked for, and it is known who was trained on them."""

from pathlib import Path

import pytest

from ml.benchmarking import evaluate_catalog
from ml.errors import EvaluationError
from tests.unit.ml.conftest import TRACKS


def test_split_decides_which_tracks_are_scored(manifest: Path, tmp_path: Path) -> None:
    asked = (str(manifest), ["random"], "paper", tmp_path)
    everything, test = evaluate_catalog(*asked), evaluate_catalog(*asked, split="test")
    assert (everything.tracks, everything.trained_on) == (sum(TRACKS.values()), TRACKS["train"])
    assert (test.tracks, test.trained_on) == (TRACKS["test"], 0)
    categories = [
        next(row["n"] for row in scores.rows if row["annotation"] == "track")
        for scores in (everything, test)
    ]
    assert categories == [everything.tracks, test.tracks]
    with pytest.raises(EvaluationError, match=r"No split 'held out': use one of .*'test'"):
        evaluate_catalog(*asked, split="held out")
