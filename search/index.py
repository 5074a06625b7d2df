"""The index: model versions from their begin to their retirement.

The order of a version's life: `begin_version`, `search.load.load_bucket` for each bucket,
`build_index`, `search.verification.measure_recall` and ``mark_verified``, `activate`, `retire`.
Each step may be killed and repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from search.database import Database
from search.queries import query


@dataclass(frozen=True)
class ModelVersion:
    """A model version in the database.

    Parameters
    ----------
    model_version : int
        Its number in the model registry.
    name, run_id : str
        The registered model and the training run.
    state : str
        ``loading``, ``loaded``, ``verified`` or ``retired``.
    active : bool
        Whether queries use it.
    segments : int
        Rows when last complete.
    deleted : int
        Rows deleted since the index was built.
    recall : float or None
        As measured, if it was.
    missed : int or None
        Queries wholly missed in that measurement.
    """

    model_version: int
    name: str
    run_id: str
    state: str
    active: bool
    segments: int
    deleted: int
    recall: float | None
    missed: int | None


def begin_version(database: Database, version: int, name: str, run_id: str) -> None:
    """Make room for a model version; does nothing if it has begun, revives a retired one.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        Number in the model registry, from 1.
    name, run_id : str
        The registered model and the training run.

    Raises
    ------
    DatabaseError
        If the database has that version from another run: registry and database have different
        histories.
    """
    _step(database, "begin_version", version, name, run_id)


def record_metrics(
    database: Database, version: int, metrics: Mapping[str, Mapping[str, float]]
) -> None:
    """Note how good a version was found to be, for those who query; may be repeated.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        One that has begun.
    metrics : mapping of str to mapping of str to float
        Mean average precision on test tracks by annotation and protocol.
    """
    _step(database, "record_metrics", version, Jsonb(metrics))


def build_index(database: Database, version: int) -> bool:
    """Build the HNSW index after the load.

    Its m is 24 and its ef_construction 256, unless the database's settings ``soundalike.hnsw_m``
    and ``soundalike.hnsw_ef_construction`` say otherwise.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        A version whose buckets are loaded.

    Returns
    -------
    bool
        Whether it was built now; False if it was there, and only its counts were refreshed.

    Raises
    ------
    DatabaseError
        If the version has no embeddings.
    """
    return bool(_step(database, "build_index", version))


def activate(database: Database, version: int) -> None:
    """Make a version the one that every query uses, in one transaction.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        Loaded in every bucket, indexed and verified.

    Raises
    ------
    DatabaseError
        If it is not; the active version stays.
    """
    _step(database, "activate", version)


def active_version(database: Database) -> int | None:
    """Tell which version queries use.

    Parameters
    ----------
    database : Database
        Migrated.

    Returns
    -------
    int or None
        The version, None before the first activation.

    Raises
    ------
    DatabaseError
        If the database does not answer.
    """
    found = _step(database, "active_version")
    return found if isinstance(found, int) else None


def retire(database: Database, version: int) -> None:
    """Drop the embeddings of a version; its row in ``models`` stays.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        Any but the active one.

    Raises
    ------
    DatabaseError
        If it is active or unknown.
    """
    _step(database, "retire", version)


def rollback(database: Database) -> int:
    """Make the version that was active before the active one again; twice leads back.

    Returns
    -------
    int
        The version that is active now.

    Raises
    ------
    DatabaseError
        If there was none before, or it was retired.
    """
    version = _step(database, "rollback")
    assert isinstance(version, int)
    return version


def retire_old(database: Database, keep: int = 2) -> list[int]:
    """Retire all versions older than the active one but the last few.

    Parameters
    ----------
    database : Database
        Migrated.
    keep : int
        How many stay, the active one included: first it, then the one that a rollback leads to.

    Returns
    -------
    list of int
        Which were retired.

    Raises
    ------
    DatabaseError
        If the database does not answer.
    """
    with database.transaction() as connection:
        rows = connection.execute(query("retire_old"), (keep,)).fetchall()
    return [int(version) for (version,) in rows]


def kept_versions(database: Database, keep: int = 2) -> list[int]:
    """List the versions that `retire_old` keeps, the active one first."""
    with database.transaction() as connection:
        rows = connection.execute(query("kept_versions"), (keep,)).fetchall()
    return [int(version) for (version,) in rows]


def rebuild_index(database: Database, version: int) -> None:
    """Build a version's index anew beside the old one, which answers meanwhile; loads wait.

    Raises
    ------
    DatabaseError
        If the version has no embeddings.
    """
    _step(database, "rebuild_index", version)


def refresh_neighbours(database: Database, version: int) -> bool:
    """Compute a version's graph of neighbours and its duplicates, which views show once active.

    Parameters
    ----------
    database : Database
        Migrated.
    version : int
        Loaded and indexed.

    Returns
    -------
    bool
        Whether it was computed now; False if nothing was loaded since it was.

    Raises
    ------
    DatabaseError
        If the version is not loaded.
    """
    return bool(_step(database, "refresh_neighbours", version))


def list_models(database: Database) -> list[ModelVersion]:
    """List every version, retired ones too.

    Parameters
    ----------
    database : Database
        Migrated.

    Returns
    -------
    list of ModelVersion
        By number.

    Raises
    ------
    DatabaseError
        If the database does not answer.
    """
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=class_row(ModelVersion))
        return cursor.execute(query("list_models")).fetchall()


def _step(database: Database, name: str, *arguments: object) -> object:
    """Run a named query of one value in a transaction of its own."""
    with database.transaction() as connection:
        row = connection.execute(query(name), arguments).fetchone()
    return row[0] if row else None
