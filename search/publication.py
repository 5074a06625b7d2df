"""Publish the production model: load its windows, index them, verify, make it the active version.

Each step may be killed and repeated; until the last one, everyone queries the version before.
"""

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from ml.audio import SAMPLE_RATE
from ml.encoders import choose_device, load_encoder
from ml.registry import MODEL_NAME, Registry
from ml.splits import N_BUCKETS
from ml.workspace import Workspace
from search.database import Database
from search.index import (
    active_version,
    begin_version,
    build_index,
    list_models,
    record_metrics,
)
from search.recall import RecallReport
from search.switching import activate_whole
from search.takedown import denied_tracks
from search.tracks import TrackCounts, upsert_tracks
from search.verification import mark_verified, measure_recall, verified_recall
from search.waveforms import load_waveforms
from search.windows import DEFAULT_WINDOWS, WindowLoad, WindowSettings, load_windows

INDEX_RECORD = "index"


def publish_windows(
    database: Database,
    registry: Registry,
    workspace: Workspace,
    buckets: Sequence[int],
    windows: WindowSettings = DEFAULT_WINDOWS,
) -> tuple[WindowLoad, TrackCounts]:
    """Embed and load the windows of some buckets under the production version.

    Metadata, peaks and loudness of all tracks come with them.

    Parameters
    ----------
    database : Database
        Migrated.
    registry : Registry
        Holds the production encoder.
    workspace : Workspace
        Holds tracks and audio.
    buckets : sequence of int
        Which to do.
    windows : WindowSettings
        Where the windows of a track lie.

    Returns
    -------
    WindowLoad, TrackCounts
        What was embedded, and what changed in the table of tracks.
    """
    version = registry.find_version(_production_version(workspace))
    playable = playable_tracks(workspace)
    playable = playable[~playable["track_id"].isin(denied_tracks(database))]
    counts = upsert_tracks(database, playable)
    load_waveforms(database, workspace.store, playable)
    begin_version(database, version.number, MODEL_NAME, version.run_id)
    metrics = workspace.load_record("production_model").get("metrics")
    if metrics:  # a rollback leaves none: what is known of the version stays
        record_metrics(database, version.number, metrics)
    with registry.encoder_folder(version) as folder:
        encoder = load_encoder(folder, choose_device())
    load = load_windows(
        database, version.number, encoder, workspace.store, playable, buckets, windows
    )
    return load, counts


def index_production(database: Database, workspace: Workspace) -> tuple[bool, RecallReport]:
    """Build the index of the production version and measure its recall.

    What was measured is kept in the workspace, good or bad, for the check of the index; only a good
    one is marked as verified, and not measured again before the version changes.

    Returns
    -------
    bool, RecallReport
        Whether the index was built now, and how well it finds.
    """
    version = _production_version(workspace)
    built = build_index(database, version)
    report = verified_recall(database, version)
    if report is None:
        report = measure_recall(database, version)
        if report.passed:
            mark_verified(database, version, report)
    workspace.save_record(INDEX_RECORD, asdict(report))
    return built, report


def recall_report(workspace: Workspace) -> RecallReport:
    """Read what `index_production` measured last."""
    return RecallReport(**workspace.load_record(INDEX_RECORD))


def activate_production(
    database: Database, workspace: Workspace
) -> tuple[int | None, int, pd.DataFrame]:
    """Make the production version the one that everyone queries, in one transaction.

    Its graph of neighbours, which views show, is computed before.

    Returns
    -------
    int or None, int, pandas.DataFrame
        The version before (None if there was none, or it is the same), the active one, and all.
    """
    version = _production_version(workspace)
    previous = active_version(database)
    activate_whole(database, version)
    models = pd.DataFrame([asdict(model) for model in list_models(database)])
    return (previous if previous != version else None), version, models


def _production_version(workspace: Workspace) -> int:
    return int(workspace.load_record("production_model")["version"])


def playable_tracks(workspace: Workspace) -> pd.DataFrame:
    """List the tracks of the catalogue that have audio in the store, with `duration_s`."""
    clips = workspace.store.read_clips(range(N_BUCKETS)).drop_duplicates("track_id")
    audio = clips[["track_id", "samples", "content"]]
    tracks = workspace.load_table("tracks").merge(audio, on="track_id", how="inner")
    return tracks.assign(duration_s=tracks["samples"] / SAMPLE_RATE)
