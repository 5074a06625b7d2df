"""How far the manifest has moved from what the workspace has worked on."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from ml.snapshot import (
    EVALUATED,
    INDEXED,
    SEEN,
    TRAINED,
    Changes,
    compare_snapshots,
    digest_snapshot,
    take_snapshot,
)
from ml.workspace import Workspace
from orchestration.automation.decision import Drift
from orchestration.resources import Services


@dataclass(frozen=True)
class Measurement:
    """The manifest as it is now, against what was done.

    Parameters
    ----------
    digest : str
        Of the manifest's usable rows and their files.
    drift : Drift
        How far it has moved.
    since : datetime or None
        When a run last read the manifest.
    state : str
        Of all that was done: the same until some step has worked on something else.
    """

    digest: str
    drift: Drift
    since: datetime | None
    state: str

    @property
    def request_key(self) -> str:
        """Names a request: asked for once, until the catalogue or what was done is another."""
        return f"{self.digest}:{self.state}"


def measure_drift(services: Services) -> Measurement:
    """Read the manifest, and compare it with what each step has worked on.

    Raises
    ------
    CatalogError
        The manifest cannot be used.
    DatabaseError
        The denylist cannot be read.
    """
    from ml.catalog import read_catalog
    from search.takedown import denied_tracks

    with services.open_database() as database:
        found = read_catalog(services.environment.manifest, denied_tracks(database))
    now, workspace = take_snapshot(found.tracks), services.workspace
    since = workspace.date_table(SEEN) if workspace.has_table(SEEN) else None
    drift = Drift(
        trained=_changes(workspace, TRAINED, now),
        evaluated=_changes(workspace, EVALUATED, now),
        indexed=_changes(workspace, INDEXED, now),
        trained_tracks=len(_load(workspace, TRAINED)),
        idle_days=(datetime.now(UTC) - since).total_seconds() / 86_400 if since else 0.0,
    )
    return Measurement(digest_snapshot(now), drift, since, _name_state(workspace))


def _changes(workspace: Workspace, name: str, now: pd.DataFrame) -> Changes | None:
    return compare_snapshots(_load(workspace, name), now) if workspace.has_table(name) else None


def _load(workspace: Workspace, name: str) -> pd.DataFrame:
    return workspace.load_table(name) if workspace.has_table(name) else pd.DataFrame()


def _name_state(workspace: Workspace) -> str:
    """Name what was done by the moments at which a step got further than before."""
    done = [name for name in (TRAINED, EVALUATED, INDEXED) if workspace.has_table(name)]
    return "/".join(f"{workspace.date_table(name):%y%m%d%H%M%S%f}" for name in done)
