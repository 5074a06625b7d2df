"""Commands on encoders: evaluate any, export the one in production."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import console, print_json, print_scores, show_progress, to_json
from ml.environment import Environment


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(evaluate)
    app.command()(export)


def evaluate(
    catalog: Annotated[str, typer.Argument(help="Manifest of a labelled catalogue.")],
    encoder: Annotated[
        list[str],
        typer.Option("--encoder", help="`random`, `baseline`, or a folder with a saved encoder."),
    ],
    protocol: Annotated[
        str, typer.Option(help="`paper`, `xt`, `artist`, `full`, or `all`.")
    ] = "paper",
    json: Annotated[Path | None, typer.Option("--json", help="Also write the rows here.")] = None,
) -> None:
    """Print Table 1 for some encoders on any labelled catalogue, all of its tracks."""
    from ml.benchmarking import evaluate_catalog

    show_progress()
    rows = evaluate_catalog(catalog, encoder, protocol, Environment().root)
    print_scores(f"Table 1 on {catalog}", rows)
    if json is not None:
        json.write_text(to_json({"rows": rows}))


def export(
    folder: Annotated[Path, typer.Argument(help="Where the files go.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Write the production encoder's files."""
    from ml.registry import Registry

    environment = Environment()
    registry = Registry(environment.tracking_uri, environment.root / "mlflow")
    version = registry.export_production(folder)
    if json:
        print_json({"version": version.number, "run_id": version.run_id, "folder": str(folder)})
    else:
        console.print(f"Version {version.number} is in {folder}.")
