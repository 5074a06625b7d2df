"""The job `refresh` from its first run to a refused one, on real parts."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pytest

from ml.evaluation.protocols import PROTOCOLS
from search.index import active_version, list_models
from search.similarity import similar_tracks
from search.study.records import (
    Item,
    StudyQuery,
    add_query,
    create_study,
    list_items,
    rate_item,
)
from tests.integration.orchestration.logs import Run, read_embeddings, read_runs

if TYPE_CHECKING:
    from tests.integration.conftest import Home

CHECKS = {
    "rejected_rows_under_limit",
    "split_proportions",
    "clip_completeness",
    "map_gate",
    "index_recall",
}
ASSETS = {
    *("catalog", "tracks", "clips", "baseline_model", "candidate_model", "evaluation"),
    *("production_model", "embeddings", "index", "active_model"),
}
PARTITIONED = {"clips", "embeddings"}
SHOWN_INLINE = 1000
"""Characters of Markdown beyond which Dagster's page shows a link instead."""
UNTRAINED: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-9, "steps_per_epoch": 1}


def active(home: "Home") -> int | None:
    with home.database() as database:
        return active_version(database)


def in_production(home: "Home") -> int | None:
    version = home.registry().find_production()
    return version.number if version else None


@pytest.fixture(scope="module")
def first(finished: "Home") -> Run:
    """Read the log of the first run."""
    return read_runs(finished)[-1]


@pytest.fixture(scope="module")
def repeated(
    finished: "Home", training_file: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple["Home", str]:
    """Run the pipeline a second time, nothing changed but that somebody rated; what it printed."""
    home = finished.copy(tmp_path_factory.mktemp("repeated") / "data")
    rate_two(home)
    done = home.run("soundalike", "pipeline", "--config", training_file)
    assert done.returncode == 0, done.stdout
    return home, done.stdout


def rate_two(home: "Home") -> None:
    """Let a rater prefer the track of the query's genre to one of the other."""
    tracks = home.workspace.load_table("tracks")
    served = tracks[tracks["track_id"] != "damaged"]
    query, alike = served[served["genres"].map(lambda g: "rise" in g)]["track_id"].iloc[:2]
    other = served[served["genres"].map(lambda g: "fall" in g)]["track_id"].iloc[0]
    items = [Item(track, 0, 10_000, 0.0, ("production",)) for track in (alike, other)]
    design = {"raters": 1, "queries": 1, "results": 2, "systems": ["production"]}
    with home.database() as database:
        study = create_study(database, 0, name="Two", **design)
        add_query(database, study, StudyQuery("ann", query, 0, 10_000, 0.0, 1), items)
        for item, rating in zip(list_items(database, study, "ann"), (9, 1), strict=True):
            assert rate_item(database, study.study_id, item["item_id"], "ann", rating, "")


@pytest.fixture(scope="module")
def refused(finished: "Home", tmp_path_factory: pytest.TempPathFactory) -> "Home":
    """Train a worse model and offer it."""
    home = finished.copy(tmp_path_factory.mktemp("refused") / "data")
    assert not home.refresh(**UNTRAINED).success
    assert set(read_runs(home)[0].failures) == {"evaluation_map_gate"}
    return home


def test_refresh_materialises_everything_in_one_run(finished: "Home", first: Run) -> None:
    assert len(read_runs(finished)) == 1
    assert first.record.status == dg.DagsterRunStatus.SUCCESS
    assert first.materialised == {name: 100 if name in PARTITIONED else 1 for name in ASSETS}
    started = first.started
    assert set(started.values()) == {1}, "each asset and check computes once"
    assert len(started) == len(ASSETS) + len(CHECKS)


def test_refresh_materialises_every_partition(finished: "Home") -> None:
    every = {f"{bucket:02d}" for bucket in range(100)}
    with finished.instance() as instance:
        for name in PARTITIONED:
            assert instance.get_materialized_partitions(dg.AssetKey(name)) == every


def test_refresh_passes_every_check(first: Run) -> None:
    assert first.checks == dict.fromkeys(CHECKS, True)


def test_refresh_sets_bad_rows_and_files_aside(finished: "Home", first: Run) -> None:
    rejected = finished.workspace.load_table("rejected")
    assert list(zip(rejected["track_id"], rejected["reason"], strict=True)) == [
        ("nowhere", "missing_file")
    ]
    quarantine = finished.workspace.store.read_rejected(range(100))
    assert list(quarantine["track_id"]) == ["damaged"]
    assert "nowhere" in str(first.metadata("catalog")["rejected_rows"])
    assert "damaged" in str(first.metadata("clips")["quarantine"])


def test_refresh_shows_what_a_person_judges_a_run_by(first: Run) -> None:
    assert first.metadata("catalog")["dagster/row_count"] == 39
    assert first.metadata("clips")["dagster/row_count"] == 380
    assert "38 new" in str(first.metadata("clips")["tracks"]) or "39 new" in str(
        first.metadata("clips")["tracks"]
    )
    assert first.metadata("clips")["quarantined_share"] == pytest.approx(1 / 39, abs=1e-4)
    evaluation = first.metadata("evaluation")
    assert "The candidate passes." in str(evaluation["verdict"])
    assert all(evaluation[f"protocol_{protocol}"] for protocol in PROTOCOLS)
    for split in ("validation", "test"):
        for protocol in PROTOCOLS:
            shown = str(evaluation[f"table_1_{split}_{protocol}"])
            assert shown.startswith(f"| {protocol} |")
            assert "random" in shown
            assert "convnet" in shown
            assert len(shown) < SHOWN_INLINE
        for part, figure in (("precision", "precision at 10"), ("hubness", "hubness skew")):
            assert f"| {figure} |" in str(evaluation[f"{part}_{split}"])
        assert str(evaluation[f"figure_{split}"]).startswith("![figure](data:image/png;base64,")
    assert first.metadata("candidate_model")["epochs"] == 2
    assert first.metadata("index")["recall"] == pytest.approx(1.0, abs=0.02)
    assert first.metadata("embeddings")["buckets_embedded"] == 100
    assert first.metadata("active_model")["version"] == 1


def test_refresh_registers_the_candidate_and_promotes_it(finished: "Home") -> None:
    assert [version.number for version in finished.registry().list_versions()] == [1]
    assert in_production(finished) == 1
    assert active(finished) == 1


def test_refresh_keeps_the_training_in_mlflow(finished: "Home") -> None:
    registry = finished.registry()
    version = registry.find_version(1)
    history = registry.read_history(version.run_id)
    assert len(history) == 2, "a row per epoch"
    assert {"loss", "validation/map", "validation/paper/genre", "test/paper/track"} <= set(history)
    client = registry._client
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["crop_seconds"] == "1.0"
    assert run.data.params["minibatch.steps"] == "8"
    kept = {file.path for file in client.list_artifacts(version.run_id)}
    tables = {f"table_1_{split}.{kind}" for split in ("validation", "test") for kind in _KINDS}
    assert tables | {"encoder"} <= kept
    files = {file.path for file in client.list_artifacts(version.run_id, "encoder")}
    assert files == {"encoder/encoder.json", "encoder/encoder.safetensors"}


_KINDS = ("json", "png")


def test_active_model_answers_with_tracks_of_the_same_genre(finished: "Home") -> None:
    tracks, alike = finished.workspace.load_table("tracks").set_index("track_id"), []
    with finished.database() as database:
        for track_id in tracks.index[tracks["split"] == "test"].difference(["damaged"]):
            found = similar_tracks(database, track_id, 5)
            assert len(found) == 5
            assert {n.model_version for n in found} == {1}
            alike.append(found[0].genres == list(tracks.loc[track_id, "genres"]))
    # After sixteen steps: how a processor rounds decides over one track or another.
    assert sum(alike) >= 0.8 * len(alike)


def test_embeddings_are_windows_of_ten_seconds_every_five(finished: "Home") -> None:
    embeddings = read_embeddings(finished)
    assert {start for _, start in embeddings} == {0, 2000}, "the last one ends with the track"
    assert len(embeddings) == 2 * 38
    vectors = np.stack(list(embeddings.values()))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


def test_second_refresh_reuses_everything(repeated: tuple["Home", str]) -> None:
    home, _ = repeated
    latest, *earlier = read_runs(home)
    assert len(earlier) == 1
    assert latest.materialised == earlier[0].materialised
    assert str(latest.metadata("clips")["tracks"]).startswith("39 unchanged, 0 new, 0 changed")
    assert latest.metadata("clips")["decoded_seconds_per_second"] == 0
    assert latest.metadata("baseline_model")["reused"] is True
    assert latest.metadata("candidate_model")["reused"] is True
    assert latest.metadata("evaluation")["reused"] is True
    assert "agreement_with_raters" not in earlier[0].metadata("evaluation")
    agreement = str(latest.metadata("evaluation")["agreement_with_raters"]).splitlines()
    assert [row.split(" | ")[0] for row in agreement[2:]] == ["| random", "| baseline", "| convnet"]
    assert agreement[4].startswith("| convnet | 1.000 | 1.000 | 1.000 | 0.500 | 1 | 1 | 0")
    assert latest.metadata("embeddings")["buckets_embedded"] == 0
    assert latest.metadata("embeddings")["buckets_unchanged"] == 100
    assert latest.metadata("index")["built_now"] is False
    assert latest.metadata("active_model")["replaced"] == "none"
    assert active(home) == 1
    assert len(home.registry().list_versions()) == 1


def test_pipeline_prints_table_1_and_neighbours(repeated: tuple["Home", str]) -> None:
    _, printed = repeated
    lines = printed.splitlines()
    for split in ("validation", "test"):
        title = next(i for i, line in enumerate(lines) if f"Table 1 on {split}" in line)
        block = "\n".join(lines[title : title + 9])
        assert re.search(r"genre.*mood.*track", block)
        for encoder in ("random", "baseline", "convnet"):
            assert re.search(rf"{encoder}\D+0\.\d{{4}}|{encoder}\D+1\.0000", block), block
    assert printed.count("Sounds like tone_") == 3
    assert "Tone [" in printed, "titles are printed as they are"
    assert "Next:" in printed


def test_worse_model_is_refused_and_production_stays(refused: "Home") -> None:
    run = read_runs(refused)[0]
    assert run.record.status == dg.DagsterRunStatus.FAILURE
    assert run.checks["map_gate"] is False
    assert not {"production_model", "embeddings", "index", "active_model"} & set(run.materialised)
    assert [version.number for version in refused.registry().list_versions()] == [2, 1]
    assert in_production(refused) == 1
    assert active(refused) == 1


def test_production_model_refuses_without_the_check(refused: "Home") -> None:
    assert not refused.refresh(["production_model"]).success
    run = read_runs(refused)[0]
    assert run.checks == {}
    assert "The gate refuses version 2" in run.failures["production_model"]
    assert in_production(refused) == 1


def test_second_version_is_loaded_beside_the_first(refused: "Home", tmp_path: Path) -> None:
    home = refused.copy(tmp_path / "data")
    registry = home.registry()
    version = registry.find_version(2)
    registry.promote(version)  # as if the gate had let it through
    home.workspace.save_record("production_model", {"version": 2, "run_id": version.run_id})
    assert home.refresh(["embeddings", "index"]).success
    assert active(home) == 1, "loading and indexing change nothing for those who query"
    assert home.refresh(["active_model"]).success
    assert read_runs(home)[0].metadata("active_model")["replaced"] == 1
    with home.database() as database:
        models = {model.model_version: model for model in list_models(database)}
        assert {number: model.active for number, model in models.items()} == {1: False, 2: True}
        assert models[1].segments == models[2].segments == 76
        assert {n.model_version for n in similar_tracks(database, "tone_000", 3)} == {2}
    assert set(read_embeddings(home, 1)) == set(read_embeddings(home, 2))
