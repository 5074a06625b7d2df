"""The console script on a finished home, and its answers to bad input."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from ml.catalog import read_catalog
from ml.encoders import ConvNetEncoder, load_encoder
from ml.evaluation.raters import COLUMNS

if TYPE_CHECKING:
    from tests.integration.conftest import Home

HEADER = "track_id,path,title,artist,album,genre,mood\n"
UNREACHABLE = "postgresql://someone:secret@127.0.0.1:1/music"


@pytest.fixture(scope="module")
def empty(finished: "Home", tmp_path_factory: pytest.TempPathFactory) -> "Home":
    """Give a home in which nothing has run."""
    return type(finished)(tmp_path_factory.mktemp("empty") / "data", finished.manifest)


def write_rows(folder: Path, rows: str, header: str = HEADER) -> Path:
    (folder / "tracks.csv").write_text(header + rows)
    return folder / "tracks.csv"


def refusal(done: "subprocess.CompletedProcess[str]") -> str:
    """Check that a command ended with a clear line; the last two lines it printed."""
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert 'File "' not in done.stdout
    return "\n".join(done.stdout.strip().splitlines()[-2:])


def parse(done: "subprocess.CompletedProcess[str]") -> Any:  # noqa: ANN401
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def test_similar_answers_in_json(finished: "Home") -> None:
    found = parse(finished.run("soundalike", "similar", "tone_000", "-k", "3", "--json"))
    assert [row["rank"] for row in found] == [1, 2, 3]
    distances = [row["distance"] for row in found]
    assert distances == sorted(distances)
    tracks = finished.workspace.load_table("tracks").set_index("track_id")
    for row in found:
        assert row["title"] == tracks.loc[row["track_id"], "title"]
        assert row["genres"] == list(tracks.loc[row["track_id"], "genres"])
        assert (row["end_ms"] - row["start_ms"], row["model_version"]) == (10_000, 1)
    assert "tone_000" not in {row["track_id"] for row in found}


def test_similar_prints_ten_tracks_with_their_titles(finished: "Home") -> None:
    done = finished.run("soundalike", "similar", "tone_000")
    assert done.returncode == 0
    lines = [line for line in done.stdout.splitlines() if "Tone [" in line]
    assert len(lines) == 10


def test_sql_runs_a_command(finished: "Home") -> None:
    query = "SELECT count(*) AS neighbours FROM similar_tracks('tone_000', 4)"
    done = finished.run("soundalike", "sql", "-c", query)
    assert done.returncode == 0
    assert done.stdout.split()[:3] == ["neighbours", "------------", "4"]
    both = finished.run("soundalike", "sql", "-c", "SELECT 17 AS a", "-c", "SELECT 18 AS b")
    assert [word for word in both.stdout.split() if word.isdigit()] == ["17", "18"]
    assert finished.run("soundalike", "sql", "-c", "SELECT 1 / 0").returncode != 0


def test_sql_runs_a_file_up_to_its_first_error(finished: "Home", tmp_path: Path) -> None:
    questions = Path(__file__).parents[3] / "docs" / "questions.sql"
    done = finished.run("soundalike", "sql", "-f", str(questions))
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(" rows)") == 5
    (tmp_path / "wrong.sql").write_text("SELECT 1 / 0; SELECT 'went on';")
    done = finished.run("soundalike", "sql", "-f", str(tmp_path / "wrong.sql"))
    assert done.returncode != 0
    assert "went on" not in done.stdout


def test_exported_encoder_is_evaluated_on_any_catalogue(finished: "Home", tmp_path: Path) -> None:
    folder, report = tmp_path / "encoder", tmp_path / "rows.json"
    answer = parse(finished.run("soundalike", "export", str(folder), "--json"))
    assert (answer["version"], answer["folder"]) == (1, str(folder))
    assert isinstance(load_encoder(folder), ConvNetEncoder)

    home = type(finished)(tmp_path / "data", finished.manifest)  # no Dagster and no database there
    encoders = [
        text for name in ("random", "baseline", str(folder)) for text in ("--encoder", name)
    ]
    triplets = write_triplets(finished, tmp_path / "triplets.csv")
    command = ("soundalike", "evaluate", str(finished.manifest), *encoders)
    done = home.run(*command, "--json", str(report), "--triplets", str(triplets))
    assert done.returncode == 0, done.stdout
    assert {path.name for path in home.root.iterdir()} == {"evaluated"}
    rows = json.loads(report.read_text())["rows"]
    keys = {"encoder", "protocol", "annotation", "map", "low", "high", "chance", "n", "spread"}
    assert all(keys <= set(row) for row in rows)
    score = {(row["encoder"], row["annotation"]): row["map"] for row in rows}
    assert set(score) == {
        (encoder, annotation)
        for encoder in ("random", "baseline", str(folder))
        for annotation in ("genre", "mood", "track")
    }
    assert score[str(folder), "genre"] > score["baseline", "genre"] > score["random", "genre"]
    assert f"{score['baseline', 'track']:.4f}" in done.stdout
    assert "26 of these 38 tracks are in the training split" in " ".join(done.stdout.split())
    agreement = {row["encoder"]: row for row in json.loads(report.read_text())["agreement"]}
    assert agreement[str(folder)]["agreement"] > 0.8 > agreement["random"]["agreement"]
    assert f"{agreement['baseline']['agreement']:.3f}" in done.stdout


def write_triplets(home: "Home", file: Path) -> Path:
    """Judge as somebody would to whom rising tones are alike, and falling ones."""
    tracks = read_catalog(str(home.manifest)).tracks
    genres = dict(zip(tracks["track_id"], tracks["genres"], strict=True))
    ids = sorted(track for track in genres if track != "damaged")
    rng = np.random.default_rng(0)
    rows: list[tuple[object, ...]] = []
    for a, p, n in (rng.choice(ids, 3, replace=False) for _ in range(200)):
        if genres[a] == genres[p] != genres[n]:
            rows.append((f"rater {len(rows) % 3}", a, 0, p, 0, n, 0))
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(file, index=False)
    return file


def test_manifest_without_columns_is_one_clear_line(empty: "Home", tmp_path: Path) -> None:
    manifest = write_rows(tmp_path, "a,a.wav,A\n", "track_id,path,title\n")
    done = empty.run("soundalike", "evaluate", str(manifest), "--encoder", "random")
    assert len(done.stdout.splitlines()) == 1
    assert "lacks the columns artist, album, genre, mood" in refusal(done)


def test_catalogue_that_cannot_be_used_stops_the_pipeline(finished: "Home", tmp_path: Path) -> None:
    audio = next(finished.manifest.parent.glob("tone_*.wav"))
    shutil.copyfile(audio, tmp_path / "a.wav")
    small = write_rows(tmp_path, "a,a.wav,A,,,,\nb,a.wav,B,,,,\n")
    done = type(finished)(tmp_path / "data", small).run("soundalike", "pipeline")
    assert "The pipeline stopped" in refusal(done)
    assert "failed: The catalogue is too small to split (" in done.stdout
    assert "add tracks to the manifest" in done.stdout


def test_database_that_does_not_answer_is_one_clear_line(empty: "Home") -> None:
    for command in (["pipeline"], ["similar", "tone_000"], ["sql", "-c", "SELECT 1"]):
        done = empty.run("soundalike", *command, DATABASE_URL=UNREACHABLE)
        assert "music on 127.0.0.1:1 does not answer" in refusal(done)
        assert len(done.stdout.splitlines()) == 1
        assert "secret" not in done.stdout


def test_unknown_track_is_one_clear_line(finished: "Home") -> None:
    done = finished.run("soundalike", "similar", "no [/b] such")
    assert "no [/b] such" in refusal(done)
    assert len(done.stdout.splitlines()) == 1


def test_encoder_that_is_not_there_is_one_clear_line(empty: "Home", tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    done = empty.run("soundalike", "evaluate", str(empty.manifest), "--encoder", missing)
    assert f"No encoder in {missing}" in refusal(done)
    assert "that `soundalike export` wrote" in refusal(done)


def test_export_before_any_model_is_one_clear_line(empty: "Home", tmp_path: Path) -> None:
    done = empty.run("soundalike", "export", str(tmp_path / "export"))
    assert "No model is in production yet: run `make pipeline` first." in refusal(done)
