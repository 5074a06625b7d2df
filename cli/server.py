"""The group `soundalike db`: the embedded server, migrations, roles, logins and settings."""

import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from cli.output import console, print_json
from ml.environment import Environment
from ml.errors import SoundalikeError

if TYPE_CHECKING:
    from pathlib import Path

    from search.status import Status

group = typer.Typer(no_args_is_help=True, help="The database: its server, schema and roles.")

NOT_RUNNING = "The embedded server is not running: `soundalike db up` starts it."


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(group, name="db")


@group.command()
def up() -> None:
    """Start the embedded server and leave it running, for BI tools and psql."""
    from search.database import Database
    from search.keeper import start_keeper

    url = start_keeper(_embedded_folder("start"))
    Database(url).migrate()
    console.print(f"The database runs at {url} until `soundalike db down`.", markup=False)


@group.command()
def down() -> None:
    """Stop the embedded server that `up` left running; what others use goes on."""
    from search.keeper import stop_keeper

    stopped = stop_keeper(_embedded_folder("stop"))
    console.print(
        "The server stops with its last user." if stopped else "No server was left running by `up`."
    )


@group.command()
def migrate() -> None:
    """Bring the schema up to date."""
    from search.database import open_database

    environment = Environment()
    with open_database(environment.database_url, environment.root) as database:
        applied = database.migrate()
    console.print("\n".join(f"Applied {name}." for name in applied) or "Nothing to apply.")


@group.command()
def status(
    json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Tell what the database is and holds; starts and changes nothing."""
    from search.database import Database
    from search.keeper import find_keeper
    from search.server import is_running, server_url
    from search.status import read_status

    environment = Environment()
    folder = environment.root / "postgres"
    if not environment.database_url and not is_running(folder):
        raise SoundalikeError(NOT_RUNNING)
    found = read_status(Database(environment.database_url or server_url(folder)))
    if json:
        print_json(asdict(found))
        return
    _print_status(found)
    if not environment.database_url:
        kept = find_keeper(folder) is not None
        console.print("It is kept running by `db up`." if kept else "It stops with its last user.")


@group.command()
def roles() -> None:
    """Make the roles owner, loader, web and analyst, and give each what it may do."""
    from search.access import set_up_roles
    from search.database import open_database

    environment = Environment()
    with open_database(environment.database_url, environment.root) as database:
        database.migrate()
        set_up_roles(database)
    console.print("The roles are set up; `soundalike db login NAME --role analyst` adds a login.")


@group.command()
def login(
    name: Annotated[str, typer.Argument(help="Of the login, new on the server.")],
    role: Annotated[str, typer.Option(help="owner, loader, web or analyst.")] = "analyst",
) -> None:
    """Make a login with a generated password, which is printed once."""
    from search.access import add_login
    from search.database import open_database

    environment = Environment()
    password = secrets.token_urlsafe(24)
    with open_database(environment.database_url, environment.root) as database:
        add_login(database, name, role, password=password)
        where = database.name
    console.print(f"{name} may log in to {where}; the password is {password}", markup=False)


@group.command("set")
def set_parameter(
    name: Annotated[str, typer.Argument(help="ef_search, hnsw_m or hnsw_ef_construction.")],
    value: Annotated[
        int | None, typer.Argument(help="What it becomes; the default again without it.")
    ] = None,
) -> None:
    """Set how broadly the index is searched, or how densely the next one is built."""
    from search import tuning
    from search.database import open_database

    environment = Environment()
    with open_database(environment.database_url, environment.root) as database:
        parameter = tuning.set_parameter(database, name, value)
    chosen = f"{parameter.usual} again, as without a setting" if value is None else value
    console.print(f"{name} is {chosen}. {parameter.effect}", markup=False)


def _embedded_folder(verb: str) -> "Path":
    environment = Environment()
    if environment.database_url:
        raise SoundalikeError(
            f"DATABASE_URL names a server of your own, which is yours to {verb}: unset it to use "
            "the embedded one."
        )
    return environment.root / "postgres"


def _print_status(found: "Status") -> None:
    pgvector = f"pgvector {found.pgvector}" if found.pgvector else "no pgvector yet"
    console.print(f"{found.name}: PostgreSQL {found.postgres}, {pgvector}, {found.size}")
    pending = ", ".join(found.pending)
    console.print(f"Migrations to apply: {escape(pending)}" if pending else "Migrated.")
    console.print("Roles are set up." if found.has_roles else "No roles: `soundalike db roles`.")
    loaded = [model for model in found.models if model.state != "retired"]
    active = [model.model_version for model in loaded if model.active]
    console.print(f"Versions loaded: {len(loaded)}; active: {active[0] if active else 'none'}.")
