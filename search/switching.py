"""Going to another version by hand: forwards, back, and retiring the old.

Postgres is the truth about what serves. The registry's alias and the workspace's record follow it,
so that the next run of the pipeline starts from there.
"""

from datetime import UTC, datetime

from ml.errors import DatabaseError
from ml.registry import ROLLED_BACK_TAG, Registry
from ml.snapshot import INDEXED, forget_snapshot
from ml.workspace import Workspace
from search.database import Database
from search.index import (
    activate,
    active_version,
    kept_versions,
    list_models,
    refresh_neighbours,
    retire,
    rollback,
)
from search.map import refresh_map


def activate_whole(database: Database, version: int) -> None:
    """Make a version active together with its graph of neighbours and its map.

    Both are computed before, if they have to be: minutes for tens of thousands of tracks, in
    which everyone queries the version before.

    Raises
    ------
    DatabaseError
        If the version is not loaded in every bucket, indexed and verified.
    """
    states = {model.model_version: model.state for model in list_models(database)}
    if states.get(version) == "verified":
        refresh_neighbours(database, version)
        refresh_map(database, version)
    activate(database, version)


def switch_version(
    database: Database, registry: Registry, workspace: Workspace, version: int
) -> int | None:
    """Make a version active, and production in the registry.

    Parameters
    ----------
    database : Database
        Migrated.
    registry : Registry
        Its alias ``production`` follows.
    workspace : Workspace
        Its record `production_model` follows.
    version : int
        Which.

    Returns
    -------
    int or None
        What was active before.

    Raises
    ------
    DatabaseError
        If the version may not be activated.
    RegistryError
        If the registry does not have it; nothing has changed then.
    """
    registry.find_version(version)
    before = active_version(database)
    activate_whole(database, version)
    _follow(registry, workspace, version, before)
    return before


def roll_back(database: Database, registry: Registry, workspace: Workspace) -> tuple[int, int]:
    """Make the version active that was so before, in one transaction; the rest follows.

    Returns
    -------
    int, int
        What was active, and what is.

    Raises
    ------
    DatabaseError
        If there was none before, or it was retired.
    RegistryError
        If the registry does not have that version; nothing has changed then.
    """
    before = active_version(database)
    kept = kept_versions(database)  # the second is where a rollback leads to
    if before is not None and kept == [before]:
        raise DatabaseError(
            f"Version {before} is the only one that is loaded: there is none to go back to."
        )
    for target in kept[1:]:
        registry.find_version(target)
    version = rollback(database)
    _follow(registry, workspace, version, before)
    return before or 0, version


def retire_version(database: Database, version: int, keep: int = 2) -> None:
    """Drop a version's embeddings, unless it is one of those that are kept.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        Which.
    keep : int
        How many of the last stay, the active one included.

    Raises
    ------
    DatabaseError
        If it is active, unknown, or one of the last.
    """
    kept = kept_versions(database, keep)
    if version in kept and version != active_version(database):
        raise DatabaseError(
            f"Version {version} is one of the last {keep}, which are kept to go back to: "
            f"to retire it all the same, `soundalike models retire {version} --keep "
            f"{kept.index(version)}`."
        )
    retire(database, version)


def _follow(registry: Registry, workspace: Workspace, version: int, before: int | None) -> None:
    """Let registry and workspace say what the database says.

    A version that people went back from is marked, so that no later run promotes it silently. The
    version that serves now may have missed tracks meanwhile: what it has indexed is looked at anew.
    """
    found = registry.find_version(version)
    registry.promote(found)
    registry.annotate(found, {ROLLED_BACK_TAG: ""})
    if before and version < before:
        when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        registry.annotate(registry.find_version(before), {ROLLED_BACK_TAG: when})
    record = {"version": version, "run_id": found.run_id, "replaced": before}
    workspace.save_record("production_model", record)
    forget_snapshot(workspace, INDEXED)
