"""Taking a track down for good, with a proof of it; lifting that again.

The order is what makes it safe: first, in a transaction of its own, the track goes on the denylist
and is unsearchable in every version, and only then is what was made of it deleted. Each step is
harmless when repeated, so a takedown that was killed is simply run again. Postgres reuses the space
of deleted rows after its next vacuum.
"""

from datetime import UTC
from typing import Any

from psycopg import Connection

from ml.errors import SoundalikeError
from ml.registry import Registry
from ml.removal import find_remains, remove_audio, remove_rows
from ml.splits import hash_track
from ml.workspace import Workspace
from search.database import Database
from search.proofs import (
    Check,
    Takedown,
    earlier_deletions,
    note_deletions,
    now_in_utc,
    write_proof,
)
from search.queries import query


def take_down(
    database: Database, registry: Registry, workspace: Workspace, track_id: str, reason: str
) -> Takedown:
    """Make a track unsearchable at once, delete what was made of it, and prove it.

    Parameters
    ----------
    database : Database
        Migrated.
    registry : Registry
        Its runs' artifacts named after the track are removed.
    workspace : Workspace
        Audio, clips and tables; the proof is written below its folder ``takedowns``.
    track_id : str
        Any id; one that the catalogue does not have goes on the denylist all the same.
    reason : str
        Why; kept in the database and in the proof.

    Returns
    -------
    Takedown
        As written; see `search.proofs.proof_path`.

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
    for delete in (_delete_rows, _delete_audio, _delete_embeddings, _delete_artifacts):
        note_deletions(proof, delete(database, registry, workspace, track_id))
        write_proof(workspace, proof)
    proof.checks += _check(database, registry, workspace, track_id)
    write_proof(workspace, proof)
    return proof


def lift_takedown(database: Database, track_id: str) -> bool:
    """Lift a track from the denylist, and nothing else.

    The next run of the pipeline decodes, embeds and serves it if the manifest has it.

    Parameters
    ----------
    database : Database
        Migrated.
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
    return bool(row and row[0])


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


def _delete_rows(_d: Database, _r: Registry, workspace: Workspace, track_id: str) -> dict[str, int]:
    return remove_rows(workspace, track_id)


def _delete_audio(
    _d: Database, _r: Registry, workspace: Workspace, track_id: str
) -> dict[str, int]:
    return remove_audio(workspace, track_id)


def _delete_embeddings(
    database: Database, _r: Registry, _w: Workspace, track_id: str
) -> dict[str, int]:
    with database.transaction() as connection:
        rows = connection.execute(query("delete_track_embeddings"), (track_id,)).fetchall()
    return {f"embeddings of version {version}": count for version, count in rows}


def _delete_artifacts(
    _d: Database, registry: Registry, _w: Workspace, track_id: str
) -> dict[str, int]:
    found = registry.find_artifacts(track_id, hash_track(track_id))
    for artifact in found:
        registry.remove_artifact(artifact)
    return {f"MLflow {artifact.path} of run {artifact.run_id}": 1 for artifact in found}


def _check(
    database: Database, registry: Registry, workspace: Workspace, track_id: str
) -> list[Check]:
    with database.transaction() as connection:
        denied = _ask(connection, "is_denied", track_id)
        findable = _ask(connection, "is_findable", track_id)
        segments = _ask(connection, "count_track_embeddings", track_id)
    remains = find_remains(workspace, track_id)
    artifacts = registry.find_artifacts(track_id, hash_track(track_id))
    now = now_in_utc()
    return [
        Check("on the denylist", denied, "yes" if denied else "no", now),
        Check("not searchable", not findable, "findable" if findable else "none", now),
        Check("no embeddings in any version", segments == 0, f"{segments} rows", now),
        Check("no audio, clips or rows on disk", not remains, ", ".join(remains) or "none", now),
        Check("no MLflow artifacts", not artifacts, f"{len(artifacts)} files", now),
    ]


def _ask(connection: Connection[Any], name: str, track_id: str) -> Any:  # noqa: ANN401 (one value of any type)
    row = connection.execute(query(name), (track_id,)).fetchone()
    return row[0] if row else None
