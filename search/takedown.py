"""Taking a track down for good, with a proof of it; lifting that again.

The order is what makes it safe: first, in a transaction of its own, the track goes on the denylist
and is unsearchable in every version, and only then is what was made of it deleted. Each step is
harmless when repeated, so a takedown that was killed is simply run again. Postgres reuses the space
of deleted rows after its next vacuum.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import Connection

from ml.errors import SoundalikeError
from ml.registry import Registry
from ml.removal import find_remains, remove_audio, remove_rows
from ml.splits import hash_track
from ml.storage import replace_file, sweep_temporaries
from ml.workspace import Workspace
from search.database import Database
from search.queries import query

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deletion:
    """What was deleted in one place.

    Parameters
    ----------
    place : str
        A file, table, model version or artifact.
    count : int
        Rows or files.
    at : str
        When, ISO 8601 in UTC.
    """

    place: str
    count: int
    at: str


@dataclass(frozen=True)
class Check:
    """What was looked at afterwards, and whether nothing was found there."""

    check: str
    passed: bool
    found: str
    at: str


@dataclass
class Takedown:
    """The proof of a takedown.

    Parameters
    ----------
    track_id, digest, reason : str
        Which track, its digest, and why in this call's words.
    denied_at : str
        Since when it has been on the denylist, ISO 8601.
    deletions : list of Deletion
        By this call and by earlier ones, in their order.
    checks : list of Check
        Made by this call, after its deletions.
    """

    track_id: str
    digest: str
    reason: str
    denied_at: str
    deletions: list[Deletion] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every check was made and found nothing."""
        return bool(self.checks) and all(check.passed for check in self.checks)


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
        As written; see `proof_path`.

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
    proof.deletions += _earlier_deletions(workspace, track_id)
    for delete in (_delete_rows, _delete_audio, _delete_embeddings, _delete_artifacts):
        _note(proof, delete(database, registry, workspace, track_id))
        _write(workspace, proof)
    proof.checks += _check(database, registry, workspace, track_id)
    _write(workspace, proof)
    return proof


def require_complete(proof: Takedown) -> None:
    """Refuse a takedown that left something.

    Raises
    ------
    SoundalikeError
        If a check found something; repeating the takedown removes it.
    """
    failed = [f"{check.check} (found: {check.found})" for check in proof.checks if not check.passed]
    if failed:
        raise SoundalikeError(
            f"The takedown of {proof.track_id} is not complete: {'; '.join(failed)}. "
            "End other runs of the pipeline, and run the takedown again."
        )


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


def proof_path(workspace: Workspace, track_id: str) -> Path:
    """Name the file of a track's proof."""
    return workspace.root / "takedowns" / f"{hash_track(track_id)}.json"


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
    now = _now()
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


def _note(proof: Takedown, deleted: Mapping[str, int]) -> None:
    proof.deletions += [Deletion(place, count, _now()) for place, count in deleted.items()]


def _earlier_deletions(workspace: Workspace, track_id: str) -> list[Deletion]:
    path = proof_path(workspace, track_id)
    if not path.exists():
        return []
    return [Deletion(**row) for row in json.loads(path.read_bytes())["deletions"]]


def _write(workspace: Workspace, proof: Takedown) -> None:
    answer = asdict(proof) | {"complete": proof.complete}
    with replace_file(proof_path(workspace, proof.track_id)) as file:
        file.write(json.dumps(answer, indent=2, ensure_ascii=False).encode())
    sweep_temporaries(proof_path(workspace, proof.track_id).parent)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
