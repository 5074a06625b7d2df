"""What serves, for people: since when, instead of what, how it confuses genres, its size."""

from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from psycopg.rows import class_row, dict_row

from search.database import Database
from search.queries import query

MOST_GENRES = 12


@dataclass(frozen=True)
class Serving:
    """The version that everyone queries.

    Parameters
    ----------
    model_version : int
        Its number.
    previous_version : int or None
        The one before it.
    activated_at : datetime
        Since when.
    overlap : float or None
        Mean share of the ten nearest tracks that both versions name, if both are known.
    """

    model_version: int
    previous_version: int | None
    activated_at: datetime
    overlap: float | None


def read_serving(database: Database) -> Serving | None:
    """Tell which version serves, and how it compares with the one before; None before the first."""
    with database.transaction() as connection:
        return (
            connection.cursor(row_factory=class_row(Serving)).execute(query("serving")).fetchone()
        )


def read_confusion(database: Database) -> pd.DataFrame:
    """Tabulate of which genre the ten nearest tracks of each genre are.

    Returns
    -------
    pandas.DataFrame
        A row per genre, a column per genre of the neighbours, shares of 0 to 1; the most frequent
        genres alone, where there are many.
    """
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        rows = cursor.execute(query("confusion")).fetchall()
    if not rows:
        return pd.DataFrame()
    found = pd.DataFrame(rows).astype({"share": float})
    table = found.pivot_table(
        index="genre", columns="neighbour_genre", values="share", fill_value=0.0
    )
    kept = table.sum().nlargest(MOST_GENRES).index.sort_values()
    shares = table.reindex(index=kept, columns=kept, fill_value=0.0)
    return shares.rename_axis(index="genre of the track").reset_index()


def measure_size(database: Database, version: int) -> dict[str, int]:
    """Measure a version's embeddings and indexes on the disk: `table_bytes` and `index_bytes`."""
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return dict(cursor.execute(query("version_size"), {"version": version}).fetchall()[0])
