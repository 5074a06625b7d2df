"""Who may do what: the roles ``owner``, ``loader``, ``web`` and ``analyst``, and their logins.

What each may do is said in one place, the SQL function ``grant_access``.
"""

from typing import Literal, get_args

from ml.errors import DatabaseError
from search import migrations
from search.database import Database, translated_errors
from search.queries import query

Role = Literal["owner", "loader", "web", "analyst"]
ROLES: tuple[Role, ...] = get_args(Role)
ANALYST_TIMEOUT = "60s"


def set_up_roles(database: Database) -> None:
    """Make the four roles and give each what it may do; harmless when repeated.

    Migrating does this too, where the user who migrates may create roles.

    Parameters
    ----------
    database : Database
        Migrated; its user may create roles.

    Raises
    ------
    DatabaseError
        If the user may not.
    """
    with translated_errors(), database.connect() as connection:
        connection.autocommit = True
        if not migrations.grant_access(connection):
            raise DatabaseError(
                "The roles were not set up: name a user who may create roles in DATABASE_URL, "
                "such as the server's administrator, and run `soundalike db roles` again."
            )


def add_login(
    database: Database,
    name: str,
    role: str,
    *,
    password: str,
    statement_timeout: str = ANALYST_TIMEOUT,
) -> None:
    """Make a login that is a member of one role.

    Parameters
    ----------
    database : Database
        Migrated; its user may create roles.
    name : str
        Of the login, new on this server.
    role : str
        One of `ROLES`.
    password : str
        For servers that ask for one; the embedded server lets in only its own user's processes.
    statement_timeout : str
        When an analyst's statements end, unless the session sets another; Postgres's notation.

    Raises
    ------
    DatabaseError
        If there is no such role, the name is taken, or the user may not create logins.
    """
    with database.transaction() as connection:
        connection.execute(query("add_login"), (name, role, password, statement_timeout))
