"""What decides how broadly an index is searched and how densely it is built, as database settings.

The SQL functions read them, so that they hold for whoever asks: the page, analysts, the pipeline.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from ml.errors import DatabaseError
from search.database import Database


@dataclass(frozen=True)
class Parameter:
    """A setting and its limits, which are pgvector's.

    Parameters
    ----------
    least, largest : int
        That it may be.
    usual : int
        What holds where it is not set.
    effect : str
        When it takes effect, and what to do for that.
    """

    least: int
    largest: int
    usual: int
    effect: str


_NEXT_BUILD = "The next index is built so; `soundalike models reindex VERSION` builds one."
_NEXT_CONNECTION = (
    "Searches follow it from their next connection on; restart the search page if it runs."
)
PARAMETERS: Mapping[str, Parameter] = {
    "ef_search": Parameter(1, 1000, 100, _NEXT_CONNECTION),
    "hnsw_m": Parameter(2, 100, 24, _NEXT_BUILD),
    "hnsw_ef_construction": Parameter(4, 1000, 256, _NEXT_BUILD),
}


def set_parameter(database: Database, name: str, value: int | None) -> Parameter:
    """Set a parameter of the index for everyone who connects from now on.

    Parameters
    ----------
    database : Database
        Its user owns it.
    name : str
        One of `PARAMETERS`.
    value : int or None
        None is what holds without a setting.

    Returns
    -------
    Parameter
        What was set.

    Raises
    ------
    DatabaseError
        If there is no such parameter, the value is beyond its limits, or the user may not.
    """
    parameter = PARAMETERS.get(name)
    if parameter is None:
        raise DatabaseError(f"There is no parameter {name}: set one of {', '.join(PARAMETERS)}.")
    if value is not None and not parameter.least <= value <= parameter.largest:
        raise DatabaseError(
            f"{name} must be from {parameter.least} to {parameter.largest}, not {value}."
        )
    what = sql.SQL("RESET {}") if value is None else sql.SQL("SET {} = {}")
    setting = sql.Identifier("soundalike", name)
    with database.transaction() as connection:
        change = what.format(setting, sql.Literal(value))
        own = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} {}").format(own, change))
    return parameter
