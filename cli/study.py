"""The group `soundalike study`: begin a listening study, report it, export its judgements."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.table import Table

from cli.output import console, print_json, show_progress
from ml.environment import Environment
from ml.errors import SoundalikeError

if TYPE_CHECKING:
    from search.database import Database
    from search.study.records import Study

group = typer.Typer(no_args_is_help=True, help="The listening study.")

StudyId = Annotated[str, typer.Argument(help="Id of the study; the newest by default.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(group, name="study")


@group.command()
def new(
    name: Annotated[str, typer.Option(help="For people.")] = "Listening study",
    raters: Annotated[int, typer.Option(min=1, max=1000)] = 5,
    queries: Annotated[int, typer.Option(min=1, max=100, help="Of each rater.")] = 3,
    results: Annotated[int, typer.Option(min=1, max=20, help="Of each system and query.")] = 5,
    system: Annotated[
        list[str] | None, typer.Option(help="production, baseline or random; repeat it.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Begin a study; the baseline's embeddings are loaded for it if they are not there."""
    from search.study.records import SYSTEMS, create_study

    systems = list(dict.fromkeys(system or SYSTEMS))
    if unknown := set(systems) - set(SYSTEMS):
        raise SoundalikeError(f"There is no system {unknown.pop()}: name {', '.join(SYSTEMS)}.")
    with _database() as database:
        if "baseline" in systems:
            _load_baseline(database)
        study = create_study(
            database,
            secrets.randbits(31),
            name=name,
            raters=raters,
            queries=queries,
            results=results,
            systems=systems,
        )
    if json:
        print_json({"study_id": str(study.study_id), "systems": systems})
    else:
        console.print(
            f"Study {study.study_id}: raters find it in the page (`soundalike serve`, Study)."
        )


@group.command()
def report(
    study_id: StudyId = "",
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Print mean opinions, differences, agreement, and who did not listen."""
    from search.study.records import read_results
    from search.study.report import report_study

    with _database() as database:
        study = _find(database, study_id)
        found = report_study(read_results(database, study.study_id))
    if json:
        print_json(found)
        return
    table = Table("system", "mean opinion", "95 %", "ratings", title=study.name)
    for row in found["systems"]:
        known = row["low"] is not None
        interval = f"{row['low']:.1f} to {row['high']:.1f}" if known else "not known"
        table.add_row(row["system"], f"{row['mos']:.2f}", interval, str(row["n"]))
    table.add_row("(paper)", f"{found['paper_mos']:.1f}", "", "")
    console.print(table)
    alpha = found["agreement"]["krippendorff_alpha"]
    shown = "too little heard by several raters" if alpha is None else f"{alpha:.2f}"
    console.print(f"Krippendorff's alpha: {shown}.")
    for rater in found["raters"]:
        if rater["careless"]:
            console.print(
                f"{rater['rater']} rated the query itself like random tracks.", markup=False
            )


@group.command()
def triplets(
    file: Annotated[Path, typer.Argument(help="Where the CSV goes.")],
    study_id: StudyId = "",
    margin: Annotated[float, typer.Option(help="Least difference of two ratings.")] = 2.0,
) -> None:
    """Export judgements as triplets: after a, p was rated above n."""
    from search.study.records import read_results
    from search.study.triplets import export_triplets

    with _database() as database:
        study = _find(database, study_id)
        found = export_triplets(read_results(database, study.study_id), margin)
    found.to_csv(file, index=False)
    console.print(f"{len(found)} triplets are in {file}.", markup=False)


@contextmanager
def _database() -> Iterator["Database"]:
    from search.database import open_database

    environment = Environment()
    with open_database(environment.database_url, environment.root) as database:
        database.migrate()
        yield database


def _load_baseline(database: "Database") -> None:
    from ml.registry import Registry
    from ml.workspace import Workspace
    from search.study.baseline import load_baseline

    show_progress()
    environment = Environment()
    registry = Registry.open(environment)
    load_baseline(database, registry, Workspace(environment.root))


def _find(database: "Database", study_id: str) -> "Study":
    from search.study.records import find_study, list_studies

    if not study_id:
        found = next(iter(list_studies(database)), None)
    else:
        try:
            found = find_study(database, UUID(study_id))
        except ValueError:
            found = None
    if found is None:
        raise SoundalikeError("There is no such study: begin one with `soundalike study new`.")
    return found
