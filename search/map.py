"""The map of the catalogue: computed when a version is activated, read by the page."""

import math
from dataclasses import dataclass

import numpy as np
from psycopg.rows import class_row

from ml.projection import project
from search.database import Database
from search.queries import query


@dataclass(frozen=True)
class MapPoint:
    """Where a track lies, `x` and `y` within 0 to 1."""

    track_id: str
    x: float
    y: float
    title: str
    artist: str
    genre: str | None


def refresh_map(database: Database, version: int) -> bool:
    """Compute a version's map, unless nothing was loaded since it was computed.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        Loaded and indexed.

    Returns
    -------
    bool
        Whether it was computed now.

    Raises
    ------
    DatabaseError
        If the version is not loaded.
    """
    with database.transaction() as connection:
        rows = connection.execute(query("unmapped_vectors"), (version,)).fetchall()
    if not rows:
        return False
    points, trust = project(np.stack([vector.to_numpy() for _, vector in rows]))
    values = {
        "model_version": version,
        "track_ids": [track_id for track_id, _ in rows],
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "trustworthiness": trust if math.isfinite(trust) else None,
    }
    with database.transaction() as connection:
        connection.execute(query("replace_map"), values)
    return True


def list_map_points(database: Database, version: int) -> list[MapPoint]:
    """List the served tracks of a version's map; none if it was never computed."""
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=class_row(MapPoint))
        return cursor.execute(query("list_map_points"), (version,)).fetchall()
