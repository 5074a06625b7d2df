"""Studies, their queries, items and ratings, as the database keeps them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import pandas as pd
from psycopg.rows import class_row, dict_row

from ml.errors import StudyError
from search.database import Database
from search.queries import query

SYSTEMS = ("production", "baseline", "random")


@dataclass(frozen=True)
class Study:
    """A listening study.

    Parameters
    ----------
    raters, queries, results : int
        How many raters; queries of each; results of each system and query.
    systems : list of str
        Of `SYSTEMS`.
    seed : int
        Of what is random in it.
    """

    study_id: UUID
    name: str
    raters: int
    queries: int
    results: int
    systems: list[str]
    seed: int
    created_at: datetime


@dataclass(frozen=True)
class Item:
    """Something to be heard and rated; see the table ``study_items``."""

    track_id: str
    start_ms: int
    end_ms: int
    gain_db: float
    systems: tuple[str, ...]
    planted: str | None = None


@dataclass(frozen=True)
class StudyQuery:
    """What a rater searches by; `track_id` is None for a file of their own."""

    rater: str
    track_id: str | None
    start_ms: int
    end_ms: int
    gain_db: float
    model_version: int


def create_study(database: Database, seed: int, **design: Any) -> Study:  # noqa: ANN401
    """Begin a study.

    Parameters
    ----------
    database : Database
        Migrated.
    seed : int
        Of what is random in it.
    **design
        `name`, `raters`, `queries`, `results`, `systems`, as in `Study`.
    """
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=class_row(Study))
        return cursor.execute(query("create_study"), design | {"seed": seed}).fetchall()[0]


def list_studies(database: Database) -> list[Study]:
    """List the studies, newest first."""
    with database.transaction() as connection:
        return (
            connection.cursor(row_factory=class_row(Study))
            .execute(query("list_studies"))
            .fetchall()
        )


def find_study(database: Database, study_id: UUID) -> Study | None:
    """Find a study by its id."""
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=class_row(Study))
        return cursor.execute(query("find_study"), (study_id,)).fetchone()


def add_query(database: Database, study: Study, asked: StudyQuery, items: Sequence[Item]) -> UUID:
    """Keep a query and its items, in their order.

    Raises
    ------
    StudyError
        The rater has made all their queries, or the study has all its raters.
    """
    rater = {"study_id": study.study_id, "rater": asked.rater}
    with database.transaction() as connection:
        connection.execute(query("lock_rater"), rater)
        made = connection.execute(query("count_study_queries"), rater).fetchall()[0][0]
        others = connection.execute(query("count_other_raters"), rater).fetchall()[0][0]
        if made >= study.queries or (not made and others >= study.raters):
            raise StudyError(
                f"{study.name} has all its queries from {asked.rater}: rate what is left."
                if made
                else f"{study.name} has all its {study.raters} raters: begin another study."
            )
        values = asdict(asked) | {"study_id": study.study_id}
        query_id: UUID = connection.execute(query("create_study_query"), values).fetchall()[0][0]
        for position, item in enumerate(items, 1):
            row = asdict(item) | {"systems": list(item.systems)}
            row |= {"query_id": query_id, "position": position}
            connection.execute(query("create_study_item"), row)
    return query_id


def list_items(database: Database, study: Study, rater: str) -> list[dict[str, Any]]:
    """List what a rater has to hear, with what they rated so far; nothing that would unblind."""
    values = {"study_id": study.study_id, "rater": rater}
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return cursor.execute(query("list_study_items"), values).fetchall()


def find_item_track(database: Database, item_id: UUID) -> str | None:
    """Find the track of an item, unless it was taken down since."""
    with database.transaction() as connection:
        row = connection.execute(query("find_study_item"), (item_id,)).fetchone()
    return str(row[0]) if row else None


def rate_item(
    database: Database, study_id: UUID, item_id: UUID, rater: str, rating: float, comment: str
) -> bool:
    """Keep a rating, in place of an earlier one; whether the item is that rater's."""
    values = {
        "study_id": study_id,
        "item_id": item_id,
        "rater": rater,
        "rating": rating,
        "comment": comment,
    }
    with database.transaction() as connection:
        return connection.execute(query("rate_item"), values).rowcount == 1


def read_results(database: Database, study_id: UUID) -> pd.DataFrame:
    """Read every rating of a study: the rows of the view ``study_results``."""
    with database.transaction() as connection:
        cursor = connection.execute(query("study_results"), (study_id,))
        columns = [column.name for column in cursor.description or ()]
        return pd.DataFrame(cursor.fetchall(), columns=columns)
