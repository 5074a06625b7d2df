"""The baseline as a system to be compared: its windows are loaded beside production's."""

from ml.encoders import load_encoder
from ml.errors import StudyError
from ml.registry import ModelVersion, Registry
from ml.splits import N_BUCKETS
from ml.workspace import Workspace
from search.database import Database
from search.index import begin_version, build_index, list_models, retire
from search.publication import playable_tracks
from search.study.drawing import BASELINE_VERSION
from search.takedown import denied_tracks
from search.windows import load_windows


def load_baseline(database: Database, registry: Registry, workspace: Workspace) -> int:
    """Embed every window by the baseline, unless it is there; never made active.

    Parameters
    ----------
    database : Database
        Migrated, with the catalogue published.
    registry : Registry
        Holds the baseline's files.
    workspace : Workspace
        Holds the audio.

    Returns
    -------
    int
        Windows embedded now.

    Raises
    ------
    SoundalikeError
        The pipeline has no baseline yet.
    """
    run_id = workspace.load_record("baseline_model")["run_id"]
    tracks = playable_tracks(workspace)
    tracks = tracks[~tracks["track_id"].isin(denied_tracks(database))]
    known = {model.model_version: model for model in list_models(database)}
    before = known.get(BASELINE_VERSION)
    if before and before.run_id != run_id and before.state != "retired":
        retire(database, BASELINE_VERSION)  # of a baseline that has been fitted anew since
    begin_version(database, BASELINE_VERSION, "baseline", run_id)
    with registry.encoder_folder(ModelVersion(BASELINE_VERSION, run_id, "")) as folder:
        encoder = load_encoder(folder)
    load = load_windows(
        database, BASELINE_VERSION, encoder, workspace.store, tracks, range(N_BUCKETS)
    )
    build_index(database, BASELINE_VERSION)
    return load.windows


def has_baseline(database: Database) -> bool:
    """Tell whether the baseline's windows are loaded."""
    states = {model.model_version: model.state for model in list_models(database)}
    return states.get(BASELINE_VERSION) == "loaded"


def require_baseline(database: Database) -> None:
    """Refuse a study with the baseline while its windows are not loaded.

    Raises
    ------
    StudyError
        They are not.
    """
    if not has_baseline(database):
        raise StudyError(
            "The baseline's windows are not loaded: begin this study by `soundalike study new`, "
            "which loads them, or leave the baseline out."
        )
