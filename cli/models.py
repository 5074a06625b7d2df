"""Commands on encoders: evaluate any, export the one in production."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import console, print_agreement, print_json, print_scores, show_progress, to_json
from ml.environment import Environment

if TYPE_CHECKING:
    from ml.benchmarking import CatalogScores
    from ml.evaluation.scores import ScoreRow


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
    triplets: Annotated[
        Path | None,
        typer.Option(help="Ratings by `soundalike study triplets`.", exists=True, dir_okay=False),
    ] = None,
    split: Annotated[
        str, typer.Option(help="Score the tracks of `train`, `validation`, `test`, or `all`.")
    ] = "all",
    json: Annotated[Path | None, typer.Option("--json", help="Also write the rows here.")] = None,
) -> None:
    """Print Table 1 for some encoders on any labelled catalogue.

    With triplets also how often each encoder orders two results as raters did.
    """
    from ml.benchmarking import evaluate_catalog
    from ml.evaluation.raters import read_triplets

    show_progress()
    rated = read_triplets(triplets) if triplets else None
    root = Environment().root
    scores = evaluate_catalog(catalog, encoder, protocol, root, rated, split)
    rows, agreement = scores.rows, scores.agreement
    for name in dict.fromkeys(row["protocol"] for row in rows):
        print_scores(f"Table 1 on {catalog}", [row for row in rows if row["protocol"] == name])
    for line in describe_details(rows):
        console.print(line, markup=False)
    console.print(describe_trained(scores), markup=False)
    if agreement:
        print_agreement(agreement)
    if json is not None:
        found = {"rows": rows} | ({"agreement": agreement} if agreement else {})
        json.write_text(to_json(found))


def describe_details(rows: Sequence["ScoreRow"]) -> list[str]:
    """Say what the tables leave out: the spread over the draws, precision at k, hubness."""
    lines = []
    for row in rows:
        where = f"{row['encoder']}, {row['annotation']} ({row['protocol']})"
        found = {"spread_of_draws": row.get("spread", 0.0)} | row.get("details", {})
        figures = [f"{name.replace('_', ' ')} {value:.4f}" for name, value in found.items()]
        lines.append(f"{where}: {', '.join(figures)}")
    return lines


def describe_trained(scores: "CatalogScores") -> str:
    """Say on how many of the tracks an encoder may have been trained."""
    return (
        f"{scores.trained_on} of these {scores.tracks} tracks are in the training split: `baseline`"
        " is fitted on it, and the pipeline trains on it (an encoder that was trained elsewhere"
        " does not say on what); `--split test` leaves it out."
    )


def export(
    folder: Annotated[Path, typer.Argument(help="Where the files go.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Write the production encoder's files."""
    from ml.registry import Registry

    version = Registry.open(Environment()).export_production(folder)
    if json:
        print_json({"version": version.number, "run_id": version.run_id, "folder": str(folder)})
    else:
        console.print(f"Version {version.number} is in {folder}.")
