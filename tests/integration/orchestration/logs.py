"""What runs leave behind: their logs, and the vectors and weights that they made."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from ml.encoders import WEIGHTS_FILE

if TYPE_CHECKING:
    from tests.integration.conftest import Home


@dataclass(frozen=True)
class Run:
    """What a run's log says."""

    record: dg.DagsterRun
    events: list[dg.DagsterEvent]

    @property
    def started(self) -> Counter[str]:
        """How often each step was started."""
        return Counter(str(e.step_key) for e in self.events if e.is_step_start)

    @property
    def materialised(self) -> Counter[str]:
        """Materialisations of each asset."""
        found = [e for e in self.events if e.is_step_materialization]
        return Counter(e.asset_key.to_user_string() for e in found if e.asset_key)

    @property
    def checks(self) -> dict[str, bool]:
        """Whether each check that was evaluated passed."""
        kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
        found = [e.asset_check_evaluation_data for e in self.events if e.event_type == kind]
        return {check.check_name: check.passed for check in found}

    @property
    def failures(self) -> dict[str, str]:
        """What each failed step said."""
        found = [e for e in self.events if e.is_step_failure]
        return {str(e.step_key): e.step_failure_data.error_display_string for e in found}

    def metadata(self, asset: str) -> dict[str, object]:
        """Metadata of an asset's last materialisation."""
        found = [
            e.step_materialization_data.materialization
            for e in self.events
            if e.is_step_materialization
        ]
        last = [m for m in found if m.asset_key.to_user_string() == asset][-1]
        return {name: value.value for name, value in last.metadata.items()}


def read_runs(home: "Home") -> list[Run]:
    """Read the logs of all runs, the latest first."""
    with home.instance() as instance:
        return [
            Run(run, [e.dagster_event for e in instance.all_logs(run.run_id) if e.dagster_event])
            for run in instance.get_runs()
        ]


def has_started(instance: dg.DagsterInstance, step: str) -> bool:
    """Tell whether the latest run has begun a step."""
    (latest,) = instance.get_runs(limit=1)
    if latest.status != dg.DagsterRunStatus.STARTED:
        return False  # its log may not be there yet: two who make it at once spoil it
    kind = dg.DagsterEventType.STEP_START
    records = instance.get_records_for_run(latest.run_id, of_type=kind).records
    return any(record.event_log_entry.step_key == step for record in records)


def read_embeddings(home: "Home", version: int = 1) -> dict[tuple[str, int], NDArray[np.float32]]:
    """Read a version's vectors by track and start."""
    statement = "SELECT track_id, start_ms, embedding FROM embeddings WHERE model_version = %s"
    with home.database() as database, database.transaction() as connection:
        rows = connection.execute(statement, (version,)).fetchall()
    return {(track_id, start): vector.to_numpy() for track_id, start, vector in rows}


def read_scores(home: "Home") -> dict[tuple[str, ...], float]:
    """Read every mAP of the evaluation by split, encoder, protocol and annotation."""
    kinds = ("encoder", "protocol", "annotation")
    return {
        (split, *(row[kind] for kind in kinds)): row["map"]
        for split, rows in home.workspace.load_record("evaluation")["rows"].items()
        for row in rows
    }


def read_weights(home: "Home") -> bytes:
    """Read the weights of version 1."""
    registry = home.registry()
    with registry.encoder_folder(registry.find_version(1)) as folder:
        return (folder / WEIGHTS_FILE).read_bytes()


def list_processes(home: "Home") -> list[str]:
    """List the commands of all processes that work on a home."""
    return list(_find_processes(f"DATA_DIR={home.root}".encode()))


def _find_processes(variable: bytes) -> Iterator[str]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if variable in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if command:  # a zombie has none
                    yield command
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
