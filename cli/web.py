"""Commands of the page: serve it, make tokens for it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import console
from ml.environment import Environment
from ml.errors import SoundalikeError

PORT = 8000

token_group = typer.Typer(no_args_is_help=True, help="Tokens of the API.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(serve)
    app.add_typer(token_group, name="token")


def serve(
    host: Annotated[str, typer.Option(help="Address; others than this machine's need tokens.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="Port of the page and the API.", min=1, max=65535)] = (
        PORT
    ),
) -> None:
    """Serve the search page and its API until Ctrl-C."""
    from ml.registry import Registry
    from search.app import create_app
    from search.database import open_database
    from search.encoding import Encoders
    from search.pool import PooledDatabase
    from search.serving import run

    environment = Environment()

    def open_registry() -> Registry:
        return Registry(environment.tracking_uri, environment.root / "mlflow")

    with open_database(environment.database_url, environment.root) as database:
        if not environment.database_url:  # a login of the role `web` may not migrate
            database.migrate()
        pool = PooledDatabase(database.url)
        try:
            run(create_app(pool, Encoders(pool, open_registry)), host, port)
        finally:
            pool.close()


@token_group.callback()
def tokens() -> None:
    """Tokens of the API."""


@token_group.command("new")
def new_token(
    name: Annotated[str, typer.Argument(help="Whose it is; shown in logs.")],
    role: Annotated[str, typer.Option(help="listen, rate or admin.")] = "listen",
    file: Annotated[
        Path | None, typer.Option(help="Where hashes are kept.", envvar="API_TOKENS_FILE")
    ] = None,
) -> None:
    """Make a token, print it once, and keep its hash in the file."""
    from search.tokens import ROLES, add_token

    if role not in ROLES:
        raise SoundalikeError(f"There is no role {role}: choose {', '.join(ROLES)}.")
    path = file or Environment().root / "tokens"
    console.print(add_token(path, name, role), markup=False)
    console.print(f"Its hash is in {path}; serve with API_TOKENS_FILE={path}", markup=False)
