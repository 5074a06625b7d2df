"""The proof of a takedown: what was deleted, what was looked at afterwards, and the file of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ml.errors import SoundalikeError
from ml.splits import hash_track
from ml.storage import replace_file, sweep_temporaries
from ml.workspace import Workspace


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


@dataclass(frozen=True)
class Failure:
    """What could not be done, and why."""

    step: str
    why: str
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
    failures : list of Failure
        Of this call.
    checks : list of Check
        Made by this call, after its deletions.
    """

    track_id: str
    digest: str
    reason: str
    denied_at: str
    deletions: list[Deletion] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    @property
    def doubt(self) -> str:
        """A question for whoever asked, if nothing of such a track was ever deleted."""
        if self.deletions:
            return ""
        return (
            f"Nothing was found of a track {self.track_id!r}: is it spelled right? The id is on "
            "the denylist all the same; `soundalike takedown TRACK_ID --undo` lifts it."
        )

    @property
    def complete(self) -> bool:
        """Whether everything was done, and every check was made and found nothing."""
        passed = bool(self.checks) and all(check.passed for check in self.checks)
        return passed and not self.failures


def require_complete(proof: Takedown) -> None:
    """Refuse a takedown that left something.

    Raises
    ------
    SoundalikeError
        If something could not be done or was found; repeating the takedown removes it.
    """
    failed = [f"{failure.step}: {failure.why}" for failure in proof.failures]
    failed += [
        f"{check.check} (found: {check.found})" for check in proof.checks if not check.passed
    ]
    if failed:
        raise SoundalikeError(
            f"The takedown of {proof.track_id} is not complete: {'; '.join(failed)} "
            "Mend that, end other runs of the pipeline, and run the takedown again."
        )


def proof_path(workspace: Workspace, track_id: str) -> Path:
    """Name the file of a track's proof."""
    return workspace.root / "takedowns" / f"{hash_track(track_id)}.json"


def note_deletions(proof: Takedown, deleted: Mapping[str, int]) -> None:
    """Add what was deleted just now, by place."""
    proof.deletions += [Deletion(place, count, now_in_utc()) for place, count in deleted.items()]


def earlier_deletions(workspace: Workspace, track_id: str) -> list[Deletion]:
    """Read what earlier calls for this track deleted."""
    path = proof_path(workspace, track_id)
    if not path.exists():
        return []
    return [Deletion(**row) for row in json.loads(path.read_bytes())["deletions"]]


def write_proof(workspace: Workspace, proof: Takedown) -> None:
    """Write the proof as it stands, in place of the one before."""
    answer = asdict(proof) | {"complete": proof.complete}
    with replace_file(proof_path(workspace, proof.track_id)) as file:
        file.write(json.dumps(answer, indent=2, ensure_ascii=False).encode())
    sweep_temporaries(proof_path(workspace, proof.track_id).parent)


def now_in_utc() -> str:
    """Tell the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
