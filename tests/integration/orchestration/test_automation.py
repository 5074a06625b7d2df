"""A catalogue that changes, as the sensor sees it, and what the runs that it asks for do."""

import csv
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
import soundfile

from ml.snapshot import EVALUATED, INDEXED, TRAINED
from ml.splits import assign_bucket, hash_track
from orchestration.automation.triggers import catalogue_changes, weekly_refresh
from orchestration.definitions import defs
from orchestration.partitions import EVERY_BUCKET
from orchestration.resources import Services
from search.similarity import Filters, similar_tracks

if TYPE_CHECKING:
    from tests.integration.conftest import Home

Rows = list[dict[str, str]]
JOBS = {name: defs.resolve_job_def(name) for name in ("extend", "relabel", "confirm")}
REASON, ACTION = "soundalike/reason", "soundalike/action"


@pytest.fixture(scope="module")
def home(finished: "Home", tmp_path_factory: pytest.TempPathFactory) -> "Home":
    """Copy the finished home and its catalogue; the tests of this module change both, in order."""
    folder = tmp_path_factory.mktemp("changing")
    shutil.copytree(finished.manifest.parent, folder / "catalogue")
    copy = finished.copy(folder / "data")
    return type(finished)(copy.root, folder / "catalogue" / finished.manifest.name)


@pytest.fixture(autouse=True)
def _environment(home: "Home") -> Iterator[None]:
    with home._environment(), home.database():
        yield


def look(home: "Home", weekly: bool = False) -> Any:  # noqa: ANN401
    """Evaluate the sensor, or the schedule."""
    with home.instance() as instance:
        if weekly:
            with dg.build_schedule_context(instance) as context:
                return weekly_refresh(context, services=Services())
        with dg.build_sensor_context(instance) as context:
            return catalogue_changes(context, services=Services())


def respond(home: "Home", request: dg.RunRequest) -> dict[str, dict[str, Any]]:
    """Run what was asked for; what each asset reports."""
    with home.instance() as instance:
        result = JOBS[str(request.job_name)].execute_in_process(
            instance=instance, tags=dict(request.tags)
        )
    materialised = result.filter_events(lambda event: event.is_step_materialization)
    found = [event.step_materialization_data.materialization for event in materialised]
    return {
        m.asset_key.to_user_string(): {name: v.value for name, v in m.metadata.items()}
        for m in found
    }


def edit(home: "Home", change: Callable[[Rows], Rows]) -> None:
    """Write the manifest anew."""
    with home.manifest.open(newline="") as file:
        rows = change(list(csv.DictReader(file)))
    with home.manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_unchanged_catalogue_asks_for_nothing(home: "Home") -> None:
    skipped = look(home)
    assert isinstance(skipped, dg.SkipReason)
    assert "Nothing has changed." in str(skipped.skip_message)
    assert " UTC" in str(skipped.skip_message), "it says since when"
    assert isinstance(look(home, weekly=True), dg.SkipReason)


def test_catalogue_that_nobody_looked_at_is_confirmed_and_what_is_long_gone_removed(
    home: "Home",
) -> None:
    digest, store = hash_track("left"), home.workspace.store
    bucket = assign_bucket(digest)
    clips, rejected, gone = store.read_manifests(bucket)
    template = store.read_clips(range(100)).iloc[:1]
    left = template.assign(track_id="left", digest=digest, gone_since=0.0)
    store.write_audio(digest, np.ones(160_000, np.int16))
    store.write_bucket(bucket, clips, rejected, pd.concat([gone, left]) if len(gone) else left)
    assert store.has_audio(digest)
    seen = home.workspace.table_folder / "seen.parquet"
    before = seen.stat().st_mtime
    os.utime(seen, (before - 7 * 86_400,) * 2)
    request = look(home)
    assert request.job_name == "confirm"
    reported = respond(home, request)
    assert not {"candidate_model", "baseline_model", "evaluation"} & set(reported)
    assert "1 removed" in reported["clips"]["tracks"]
    assert not store.has_audio(digest)
    assert reported["embeddings"]["buckets_embedded"] == 0
    assert isinstance(look(home), dg.SkipReason)


def test_added_track_is_found_without_training(home: "Home") -> None:
    samples, rate = soundfile.read(home.manifest.parent / "tone_000.wav")
    soundfile.write(home.manifest.parent / "new.wav", samples[::-1], rate)  # no duplicate
    new = {"track_id": "new_0", "path": "new.wav", "title": "New", "genre": "rise"}
    edit(home, lambda rows: [*rows, rows[0] | new])
    request = look(home)
    assert request.job_name == request.tags[ACTION] == "extend"
    assert "1 added since the last activation" in request.tags[REASON]
    assert "within 10%" in request.tags[REASON]
    assert look(home).run_key == request.run_key, "asked for once"
    first = request.tags["dagster/asset_partition_range_start"]
    assert first == request.tags["dagster/asset_partition_range_end"], "of one bucket"
    reported = respond(home, request)
    assert not {"candidate_model", "baseline_model", "evaluation"} & set(reported)
    assert reported["clips"]["new"] == 1
    assert reported["embeddings"]["buckets_embedded"] == 1
    assert reported["index"]["built_now"] is False, "the index is live"
    with home.database() as database:
        (nearest, *_) = similar_tracks(database, "new_0", 3)
        assert nearest.model_version == 1
    assert isinstance(look(home), dg.SkipReason)


def test_edited_labels_are_judged_by_and_searchable_at_once(home: "Home") -> None:
    def relabel(rows: Rows) -> Rows:
        return [row | {"genre": "fall|new"} if row["track_id"] == "new_0" else row for row in rows]

    edit(home, relabel)
    request = look(home)
    assert request.job_name == "relabel"
    assert "1 relabelled" in request.tags[REASON]
    reported = respond(home, request)
    assert not {"candidate_model", "baseline_model", "production_model"} & set(reported)
    assert reported["index"]["built_now"] is False
    assert reported["clips"]["new"] == reported["clips"]["changed"] == 0
    assert reported["embeddings"]["buckets_embedded"] == 0
    assert "1 changed" in reported["embeddings"]["tracks"]
    with home.database() as database:
        found = similar_tracks(database, "tone_000", 3, filters=Filters(genres=["new"]))
    assert [neighbour.track_id for neighbour in found] == ["new_0"]
    assert isinstance(look(home), dg.SkipReason)


def test_monday_after_a_change_asks_for_the_whole(home: "Home") -> None:
    request = look(home, weekly=True)
    assert request.tags[ACTION] == "refresh"
    assert "Weekly: 1 added since the last training." in request.tags[REASON]
    assert request.tags["dagster/asset_partition_range_end"] == "99"


def test_growth_beyond_the_limit_asks_for_the_whole(home: "Home") -> None:
    def grow(rows: Rows) -> Rows:
        return rows + [rows[0] | {"track_id": f"more_{number}"} for number in range(4)]

    edit(home, grow)
    request = look(home)
    assert request.job_name == "refresh"
    assert "12.8% of the tracks are new since the last training" in request.tags[REASON]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROWTH_LIMIT", "0.2")
        assert look(home).job_name == "extend"


def test_no_request_while_a_run_is_not_finished(home: "Home") -> None:
    with home.instance() as instance:
        run = instance.create_run_for_job(JOBS["extend"], status=dg.DagsterRunStatus.STARTED)
        for weekly in (False, True):
            assert run.run_id in str(look(home, weekly).skip_message)
        instance.report_run_canceled(run)
    assert isinstance(look(home), dg.RunRequest)


def test_request_whose_run_failed_is_told_and_not_repeated(home: "Home") -> None:
    key = {"dagster/run_key": str(look(home).run_key)}
    with home.instance() as instance:
        failed = dg.DagsterRunStatus.FAILURE
        run = instance.create_run_for_job(JOBS["extend"], tags=key, status=failed)
        said = str(look(home).skip_message)
        assert run.run_id in said
        assert "FAILURE" in said
        instance.delete_run(run.run_id)
    assert isinstance(look(home), dg.RunRequest)


def test_refused_candidate_is_not_trained_again_but_its_tracks_are_served(home: "Home") -> None:
    seen = home.workspace.load_table("seen")
    for name in (TRAINED, EVALUATED):  # as a refresh leaves it that stopped at the gate
        home.workspace.save_table(name, seen)
    home.workspace.save_table(INDEXED, seen.iloc[1:])
    trained = look(home)
    assert trained.job_name == "extend"


def test_catalogue_of_which_much_has_vanished_stays_as_it_was_unless_told(home: "Home") -> None:
    def run(*assets: str, **config: object) -> dg.ExecuteInProcessResult:
        with home.instance() as instance:
            return JOBS["extend"].execute_in_process(
                run_config={"ops": {name: {"config": config} for name in assets if config}},
                instance=instance,
                tags=EVERY_BUCKET,
                asset_selection=[dg.AssetKey(name) for name in assets],
                raise_on_error=False,
            )

    before = {name: home.workspace.load_table(name) for name in ("catalog", "rejected", "seen")}
    edit(home, lambda rows: rows[: len(rows) // 2])
    refused = run("catalog")
    (failure,) = refused.filter_events(lambda event: event.is_step_failure)
    said = str(failure.event_specific_data)
    assert "tracks have vanished" in said
    assert "`allow_shrinking: true`" in said
    for name, table in before.items():
        pd.testing.assert_frame_equal(home.workspace.load_table(name), table)
    assert run("catalog", allow_shrinking=True).success
    assert run("tracks").success
    assert not run("clips").success
    assert look(home).tags.items() >= EVERY_BUCKET.items(), "buckets that failed are done again"
    limits, worker = {"max_seconds": 100}, {"seconds": 200}
    assert not run("clips", limits=limits, worker=worker).success
    told = {"max_vanished": 0.9, "clips_per_track": 3, "limits": limits, "worker": worker}
    assert run("clips", **told).success
    per_track = home.workspace.store.read_clips(range(100)).groupby("track_id").size()
    assert set(per_track) == {3}


def test_missing_manifest_is_a_reason_to_wait(home: "Home") -> None:
    kept = Path(f"{home.manifest}.kept")
    home.manifest.rename(kept)
    try:
        assert "No manifest at" in str(look(home).skip_message)
    finally:
        kept.rename(home.manifest)
