"""Commands of the page: serve it, make tokens for it, search by a file without it."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import console, print_json, print_neighbours
from ml.environment import Environment
from ml.errors import SoundalikeError

if TYPE_CHECKING:
    from ml.registry import Registry

PORT = 8000

token_group = typer.Typer(no_args_is_help=True, help="Tokens of the API.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(serve)
    app.command()(search)
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
    from search.app import create_app
    from search.database import open_database
    from search.encoding import Encoders
    from search.pool import PooledDatabase
    from search.serving import run

    environment = Environment()

    with open_database(environment.database_url, environment.root) as database:
        if not environment.database_url:  # a login of the role `web` may not migrate
            database.migrate()
        database.connect().close()  # the first failure is the one to tell
        pool = PooledDatabase(database.url)
        try:
            run(create_app(pool, Encoders(pool, lambda: _open_registry(environment))), host, port)
        finally:
            pool.close()


def search(
    file: Annotated[Path, typer.Argument(help="Any audio file.", exists=True, dir_okay=False)],
    start: Annotated[float, typer.Option("--from", min=0, help="Seconds.")] = 0.0,
    end: Annotated[float | None, typer.Option("--to", help="Seconds; 10 more by default.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many tracks.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Print the tracks that sound most like a region of a file, 2 to 60 s of it."""
    from ml.audio import AudioLimits
    from ml.decoding import decode_excerpt
    from ml.embedding import embed_excerpt
    from ml.isolation import WorkerLimits
    from search.api.models import DEFAULT_MS, check_region
    from search.database import open_database
    from search.encoding import Encoders
    from search.retrieval import pin_version, search_page

    start_ms = round(1000 * start)
    end_ms = start_ms + DEFAULT_MS if end is None else round(1000 * end)
    try:
        check_region(start_ms, end_ms)
    except ValueError as error:
        raise SoundalikeError(f"Give --from and --to so that {error}.") from error
    environment = Environment()
    limits = AudioLimits(min_seconds=2.0)
    samples = decode_excerpt(file, start_ms, end_ms, limits, WorkerLimits())
    with open_database(environment.database_url, environment.root) as database:
        version = pin_version(database)
        encoder = Encoders(database, lambda: _open_registry(environment)).of(version)
        vector, _ = embed_excerpt(encoder, samples)
        hits = search_page(database, vector, version, k)
    if json:
        print_json([asdict(hit) | {"model_version": version} for hit in hits])
    else:
        print_neighbours(f"Sounds like {file.name}, {start:g} s on", hits)


def _open_registry(environment: Environment) -> "Registry":
    from ml.registry import Registry

    return Registry.open(environment)


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
