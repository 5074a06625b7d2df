"""Commands on the database: neighbours, and SQL."""

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from cli.output import neighbours_as_json, print_json, print_neighbours
from ml.environment import Environment


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(similar)
    app.command()(sql)


def similar(
    track_id: Annotated[str, typer.Argument(help="Identity of a track of the catalogue.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many tracks.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Print the tracks that sound most like one."""
    from search.database import open_database
    from search.similarity import similar_tracks

    environment = Environment()
    with open_database(environment.database_url, environment.root) as database:
        found = similar_tracks(database, track_id, k)
    if json:
        print_json(neighbours_as_json(found))
    else:
        print_neighbours(f"Sounds like {track_id}", found)


def sql(
    command: Annotated[
        list[str] | None,
        typer.Option("-c", help="Run this instead of a prompt; several, one after the other."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "-f", exists=True, dir_okay=False, help="Run this file, up to its first error."
        ),
    ] = None,
) -> None:
    """Open psql on the database: SELECT * FROM similar_tracks('some id', 5)."""
    from search.database import open_database
    from search.server import psql_path

    environment = Environment()
    with open_database(environment.database_url, environment.root) as database:
        asked = [part for statement in command or [] for part in ("-c", statement)]
        asked += ["-v", "ON_ERROR_STOP=1", "-f", str(file)] if file else []
        # The address may hold a password, so it goes by the environment, not by the command line.
        address = {**os.environ, **database.variables}
        status = subprocess.run([psql_path(), *asked], env=address, check=False).returncode  # noqa: S603
    raise typer.Exit(status)
