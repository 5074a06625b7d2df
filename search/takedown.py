"""Taking a track down for good, with a proof of it; lifting that again.

The order is what makes it safe: first, in a transaction of its own, the track goes on the denylist
and is unsearchable in every version, and only then is what was made of it deleted. Steps are tried
whether or not others fail (a run is at work on the bucket, MLflow is down). Each is harmless when
repeated, so a takedown that was killed, or is not complete, is simply run again. Postgres reuses
the space of deleted rows after its next vacuum.
"""

from collections.abc import Callable
from datetime import UTC
from functools import cache, partial

from ml.errors import SoundalikeError
from ml.registry import Registry
from ml.removal import find_remains, list_stores, remove_audio, remove_rows
from ml.splits import hash_track
from ml.workspace import Workspace
from search.database import Database
from search.proofs import (
    Check,
    Failure,
    Takedown,
    earlier_deletions,
    note_deletions,
    now_in_utc,
    write_proof,
)
from search.queries import query

Found = tuple[bool, str]
"""Whether a check passed, and what it found."""


def take_down(
    database: Database,
    open_registry: Callable[[], Registry],
    workspace: Workspace,
    track_id: str,
    reason: str,
) -> Takedown:
    """Make a track unsearchable at once, delete what was made of it, and prove it.

    Parameters
    ----------
    database : Database
        Migrated.
    open_registry : callable
        Connects to MLflow, which need not answer for the rest to be done; artifacts of its runs
        that are named after the track are removed.
    workspace : Workspace
        Audio, clips and tables; the proof is written below its folder ``takedowns``.
    track_id : str
        Any id; one that the catalogue does not have goes on the denylist all the same.
    reason : str
        Why; kept in the database and in the proof.

    Returns
    -------
    Takedown
        As written; see `search.proofs.proof_path`. What could not be done stands in it, and
        `search.proofs.require_complete` raises it.

    Raises
    ------
    SoundalikeError
        If the id or reason is blank, or the database does not answer.
    """
    if not track_id.strip() or not reason.strip():
        raise SoundalikeError("Give the id of a track and a reason that is not blank.")
    with database.transaction() as connection:
        row = connection.execute(query("deny_track"), (track_id, reason)).fetchone()
    since = row[0].astimezone(UTC).isoformat() if row else ""
    proof = Takedown(track_id, hash_track(track_id), reason, since)
    proof.deletions += earlier_deletions(workspace, track_id)
    open_once = cache(open_registry)
    for step, delete in _deletions(database, open_once, workspace, track_id).items():
        _try_step(proof, step, delete)
        write_proof(workspace, proof)
    checks = _checks(database, open_once, workspace, track_id)
    proof.checks += [_try_check(check, look) for check, look in checks.items()]
    write_proof(workspace, proof)
    return proof


def lift_takedown(database: Database, workspace: Workspace, track_id: str) -> bool:
    """Lift a track from the denylist, and nothing else.

    The next run of the pipeline decodes, embeds and serves it if the manifest has it.

    Parameters
    ----------
    database : Database
        Migrated.
    workspace : Workspace
        Holds the copy of the denylist.
    track_id : str
        Any.

    Returns
    -------
    bool
        Whether it was on the denylist.

    Raises
    ------
    DatabaseError
        If the database does not answer.
    """
    with database.transaction() as connection:
        row = connection.execute(query("allow_track"), (track_id,)).fetchone()
    copy_denylist(database, workspace)
    return bool(row and row[0])


def copy_denylist(database: Database, workspace: Workspace) -> frozenset[str]:
    """Copy the denylist to where steps without a database see it.

    Parameters
    ----------
    database : Database
        Migrated.
    workspace : Workspace
        From now on it saves no table with these tracks.

    Returns
    -------
    frozenset of str
        The ids on it.

    Raises
    ------
    DatabaseError
        If the database does not answer.
    """
    return workspace.keep_denylist(lambda: denied_tracks(database))


def denied_tracks(database: Database) -> frozenset[str]:
    """List the ids on the denylist.

    Parameters
    ----------
    database : Database
        Migrated.

    Returns
    -------
    frozenset of str
        Their ids.

    Raises
    ------
    DatabaseError
        If the database does not answer.
    """
    with database.transaction() as connection:
        return frozenset(row[0] for row in connection.execute(query("denied_tracks")))


def _deletions(
    database: Database, open_registry: Callable[[], Registry], workspace: Workspace, track_id: str
) -> dict[str, Callable[[], dict[str, int]]]:
    """List the steps, each of which can be done without the others."""
    audio = {
        f"audio in {store.root.relative_to(workspace.root)}": partial(
            remove_audio, workspace, store, track_id
        )
        for store in list_stores(workspace)
    }
    return {
        "copy of the denylist": partial(_copy_denylist, database, workspace),
        "tables": partial(remove_rows, workspace, track_id),
        **audio,
        "embeddings": partial(_delete_embeddings, database, track_id),
        "MLflow": lambda: _delete_artifacts(open_registry(), track_id),
    }


def _checks(
    database: Database, open_registry: Callable[[], Registry], workspace: Workspace, track_id: str
) -> dict[str, Callable[[], Found]]:
    """List what is looked at afterwards."""

    def ask(name: str) -> int:
        with database.transaction() as connection:
            row = connection.execute(query(name), (track_id,)).fetchone()
        return int(row[0]) if row else 0

    def check_denylist() -> Found:
        denied = bool(ask("is_denied"))
        return denied, "yes" if denied else "no"

    def check_search() -> Found:
        findable = bool(ask("is_findable"))
        return not findable, "findable" if findable else "none"

    def check_rows() -> Found:
        with database.transaction() as connection:
            found = connection.execute(query("count_track_rows"), {"track_id": track_id})
            rows = [f"{count} of {place}" for place, count in found]
        return not rows, ", ".join(rows) or "none"

    def check_disk() -> Found:
        remains = find_remains(workspace, track_id)
        return not remains, ", ".join(remains) or "none"

    def check_artifacts() -> Found:
        found = open_registry().find_artifacts(track_id, hash_track(track_id))
        return not found, f"{len(found)} files"

    return {
        "on the denylist": check_denylist,
        "not searchable": check_search,
        "no embeddings, peaks, neighbours or place on a map": check_rows,
        "no audio, clips or rows on disk": check_disk,
        "no MLflow artifacts": check_artifacts,
    }


def _try_step(proof: Takedown, step: str, delete: Callable[[], dict[str, int]]) -> None:
    """Do a step; what keeps it from being done keeps no other."""
    try:
        note_deletions(proof, delete())
    except Exception as error:  # noqa: BLE001 - of any of the systems
        proof.failures.append(Failure(step, _explain(error), now_in_utc()))


def _try_check(check: str, look: Callable[[], Found]) -> Check:
    try:
        passed, found = look()
    except Exception as error:  # noqa: BLE001 - of any of the systems
        passed, found = False, f"could not be looked at: {_explain(error)}"
    return Check(check, passed, found, now_in_utc())


def _explain(error: Exception) -> str:
    return " ".join(str(error).split()) or repr(error)


def _copy_denylist(database: Database, workspace: Workspace) -> dict[str, int]:
    copy_denylist(database, workspace)
    return {}


def _delete_embeddings(database: Database, track_id: str) -> dict[str, int]:
    with database.transaction() as connection:
        rows = connection.execute(query("delete_track_embeddings"), (track_id,)).fetchall()
    return {f"embeddings of version {version}": count for version, count in rows}


def _delete_artifacts(registry: Registry, track_id: str) -> dict[str, int]:
    found = registry.find_artifacts(track_id, hash_track(track_id))
    for artifact in found:
        registry.remove_artifact(artifact)
    return {f"MLflow {artifact.path} of run {artifact.run_id}": 1 for artifact in found}
