"""The command that takes a track down."""

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
    from search.proofs import Takedown


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(takedown)


def takedown(
    track_id: Annotated[str, typer.Argument(help="Identity of a track, in the catalogue or not.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the proof.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Only lift it from the denylist.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Make a track unsearchable at once, delete what was made of it, and print the proof."""
    from search.database import open_database
    from search.proofs import proof_path, require_complete
    from search.takedown import lift_takedown, take_down

    if not undo and not reason.strip():
        raise SoundalikeError('Say why: soundalike takedown TRACK_ID --reason "..."')
    environment = Environment()
    workspace = Workspace(environment.root)

    def open_registry() -> "Registry":
        from ml.registry import Registry

        return Registry.open(environment)

    with open_database(environment.database_url, environment.root) as database:
        database.migrate()
        if undo:
            lifted = lift_takedown(database, workspace, track_id)
            print_lifted(track_id, lifted, json=json)
            return
        proof = take_down(database, open_registry, workspace, track_id, reason)
    if json:
        print_json(asdict(proof) | {"complete": proof.complete})
    else:
        print_proof(proof)
        console.print(f"The proof is in {proof_path(workspace, track_id)}.", markup=False)
        if proof.doubt:
            console.print(f"[red]{escape(proof.doubt)}[/red]")
    require_complete(proof)


def print_proof(proof: "Takedown") -> None:
    """Print what was deleted, and what was checked afterwards."""
    title = f"{proof.track_id} is on the denylist since {proof.denied_at}"
    table = Table("deleted", "count", "at", title=escape(title), title_justify="left")
    for deletion in proof.deletions:
        table.add_row(escape(deletion.place), str(deletion.count), deletion.at)
    console.print(table)
    for failure in proof.failures:
        console.print(f"[red]not done[/red] ({failure.step}): {escape(failure.why)}")
    checks = Table("checked afterwards", "", "found", "at")
    for check in proof.checks:
        verdict = "[green]passed[/green]" if check.passed else "[red]FAILED[/red]"
        checks.add_row(check.check, verdict, escape(check.found), check.at)
    console.print(checks)


def print_lifted(track_id: str, lifted: bool, *, json: bool) -> None:
    """Print what an undo did."""
    if json:
        print_json({"track_id": track_id, "lifted": lifted})
    elif lifted:
        console.print(
            f"{track_id} is off the denylist. If the manifest has it, it is served again after the "
            "next `make pipeline`; under `make dev` the sensor sees to it within minutes.",
            markup=False,
        )
    else:
        console.print(f"{track_id} was not on the denylist.", markup=False)
