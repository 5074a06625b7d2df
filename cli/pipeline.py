"""Commands that run the pipeline and show what came of it."""

import os
import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import console, print_neighbours, print_scores, show_progress
from ml.environment import Environment
from ml.workspace import Workspace

if TYPE_CHECKING:
    from search.database import Database

RECORD = "evaluation"
EXAMPLES = 3
NEIGHBOURS = 5
PRINTED = ("paper", "xt")
"""Protocols that fit beside each other in a terminal; Dagster's page has all of them."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(demo)
    app.command()(pipeline)
    app.command()(samples)


def samples() -> None:
    """Write the sample catalogue: music made by the program."""
    from ml.samples import write_samples

    show_progress()
    started = time.monotonic()
    manifest = write_samples(Environment().sample_folder)
    console.print(f"Sample catalogue: {manifest} ({time.monotonic() - started:.1f} s)")


def demo() -> None:
    """Make the sample catalogue, run the whole pipeline on it, print neighbours."""
    samples()
    pipeline()


def pipeline(
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Dagster's run configuration, YAML.", exists=True),
    ] = None,
) -> None:
    """Run the job `refresh` on the catalogue that CATALOG names, print Table 1 and neighbours."""
    from dagster import config_from_files

    from orchestration.launch import prepare_instance, run_refresh
    from search.database import open_database

    environment = Environment()
    prepare_instance(environment)
    run_config = config_from_files([str(config)]) if config else None
    started, begun = time.monotonic(), datetime.now(UTC)
    with open_database(environment.database_url, environment.root) as database:
        if not run_refresh(console.print, run_config).success:
            console.print(
                "\n[red]The pipeline stopped[/red]: the line marked `failed` or `not passed`"
                " says what to do; then run it again, it goes on from where it was."
            )
            _print_evaluation(Workspace(environment.root), since=begun)
            raise typer.Exit(1)
        minutes, seconds = divmod(time.monotonic() - started, 60)
        console.print(f"\nPipeline finished in {minutes:.0f} min {seconds:.0f} s.\n")
        _print_results(Workspace(environment.root), database)
    _print_next_steps()


def _print_results(workspace: Workspace, database: "Database") -> None:
    from search.similarity import similar_tracks

    _print_evaluation(workspace)
    tracks = workspace.load_table("tracks")
    stored = workspace.store.read_clips(range(100))["track_id"]
    test = tracks[(tracks["split"] == "test") & tracks["track_id"].isin(stored)]
    spread = test.iloc[:: max(1, len(test) // EXAMPLES)]  # manifests are often sorted by genre
    for _, track in spread.head(EXAMPLES).iterrows():
        heading = (
            f"Sounds like {track['track_id']}, {track['title']} ({', '.join(track['genres'])})"
        )
        print_neighbours(heading, similar_tracks(database, track["track_id"], NEIGHBOURS))


def _print_evaluation(workspace: Workspace, since: datetime | None = None) -> None:
    """Print Table 1, unless there is none that is as new as asked for."""
    if since and (not workspace.has_record(RECORD) or workspace.date_record(RECORD) < since):
        return
    for split, rows in workspace.load_record(RECORD)["rows"].items():
        printed = [row for row in rows if row["protocol"] in PRINTED]
        print_scores(f"Table 1 on {split} tracks", printed)


def _print_next_steps() -> None:
    folder = os.environ.get("DATA_DIR")
    here = f"DATA_DIR={shlex.quote(folder)} " if folder else ""
    steps = {
        f"{here}make dev": "the Dagster, MLflow and search pages",
        f"{here}.venv/bin/soundalike similar TRACK_ID": "neighbours of any track",
        f"{here}.venv/bin/soundalike sql": "ask in SQL",
        "make pipeline CATALOG=tracks.csv DATA_DIR=var-mine": "the same on your own music",
    }
    width = max(map(len, steps))
    console.print("\nNext:", *(f"  {step:{width}}  {why}" for step, why in steps.items()), sep="\n")
