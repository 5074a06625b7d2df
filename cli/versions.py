"""The group `soundalike models`: which versions are loaded, and which one serves."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cli.output import console, print_json
from ml.environment import Environment
from ml.errors import SoundalikeError
from ml.workspace import Workspace

if TYPE_CHECKING:
    from ml.registry import Registry
    from search.database import Database
    from search.index import ModelVersion

group = typer.Typer(no_args_is_help=True, help="Model versions: which are loaded, which serves.")

Version = Annotated[int, typer.Argument(help="Number in the model registry.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(group, name="models")


@group.command("list")
def list_versions(json: Json = False) -> None:
    """List every version that was ever loaded."""
    from search.index import list_models

    with _open_database() as database:
        models = list_models(database)
    if json:
        print_json([asdict(model) for model in models])
    else:
        _print_models(models)


@group.command()
def activate(version: Version) -> None:
    """Make a loaded and verified version the one that everyone queries."""
    from search.switching import switch_version

    with _open_database() as database:
        before = switch_version(database, _registry(), Workspace(Environment().root), version)
    console.print(f"Version {version} serves (before: {before or 'none'}).")


@group.command()
def rollback() -> None:
    """Go back to the version that served before; once more leads forwards again."""
    from search.switching import roll_back

    with _open_database() as database:
        before, version = roll_back(database, _registry(), Workspace(Environment().root))
    console.print(f"Version {version} serves again instead of {before}.")


@group.command()
def retire(
    version: Annotated[
        int | None, typer.Argument(help="Which; without it all but the last few.")
    ] = None,
    keep: Annotated[
        int, typer.Option(min=1, help="How many of the last stay, the active one included.")
    ] = 2,
) -> None:
    """Drop the embeddings of a version, or of all old ones; what it was stays on record."""
    from search.index import retire_old
    from search.switching import retire_version

    with _open_database() as database:
        if version is None:
            retired = retire_old(database, keep)
        else:
            retire_version(database, version, keep)
            retired = [version]
    named = ", ".join(map(str, retired))
    console.print(f"Retired: {named}." if retired else "There is nothing to retire.")


@group.command()
def check(
    version: Annotated[int | None, typer.Argument(help="Which; the active one by default.")] = None,
    json: Json = False,
) -> None:
    """Measure the recall of a version's index; fails if it is not good enough."""
    from search.verification import check_recall

    with _open_database() as database:
        report = check_recall(database, version)
    if json:
        print_json(asdict(report) | {"passed": report.passed, "verdict": report.verdict})
    else:
        console.print(report.verdict, markup=False)
    if not report.passed:
        raise typer.Exit(1)


@group.command()
def reindex(version: Version) -> None:
    """Build a version's index anew while the old one answers, and measure its recall."""
    from search.index import rebuild_index
    from search.verification import mark_verified, measure_recall

    with _open_database() as database:
        rebuild_index(database, version)
        report = measure_recall(database, version)
        mark_verified(database, version, report)
    console.print(report.verdict, markup=False)


@contextmanager
def _open_database() -> "Iterator[Database]":
    from search.database import open_database

    environment = Environment()
    with open_database(environment.database_url, environment.root) as database:
        database.migrate()
        yield database


def _registry() -> "Registry":
    from ml.registry import Registry

    return Registry.open(Environment())


def _print_models(models: "list[ModelVersion]") -> None:
    if not models:
        raise SoundalikeError("No version was loaded yet: `make pipeline` loads one at its end.")
    table = Table("version", "state", "serves", "segments", "deleted", "recall", "run")
    for model in models:
        table.add_row(
            str(model.model_version),
            model.state,
            "yes" if model.active else "",
            f"{model.segments:,}",
            f"{model.deleted:,}",
            "" if model.recall is None else f"{model.recall:.4f}",
            escape(model.run_id),
        )
    console.print(table)
