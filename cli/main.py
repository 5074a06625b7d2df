"""The console script `soundalike`: thin commands over the rooms below."""

import sys

import typer
from rich.console import Console
from rich.markup import escape

from cli import database, models, pipeline, server, services, study, takedown, versions, web
from ml.errors import SoundalikeError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Find music that sounds like this, in your own catalogue.",
)
for group in (pipeline, services, models, database, takedown, server, versions, web, study):
    group.register(app)


def main() -> None:
    """Run a command; an error that a user can mend is one line, not a traceback."""
    try:
        app()
    except SoundalikeError as error:
        terminal = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
        terminal.print(f"[red]Error:[/red] {escape(str(error))}")
        sys.exit(1)
