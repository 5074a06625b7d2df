"""What a rater hears after a query: results of every system and planted checks, interleaved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from psycopg.rows import dict_row

from ml.splits import hash_track
from search.database import Database
from search.queries import query
from search.retrieval import search_page
from search.study.records import Item, Study
from search.waveforms import find_loudness

BASELINE_VERSION = 1_000_000_000
"""Under which the baseline's embeddings are loaded: no registry counts so far, none retires it."""

WINDOW_MS = 10_000
SOFTEST_DB = -20.0

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Asked:
    """A query as the systems get it.

    Parameters
    ----------
    track_id : str or None
        None for a file of the rater's own.
    start_ms, end_ms : int
        The region.
    loudness_lufs : float or None
        Of the region.
    vectors : mapping of int to numpy.ndarray [shape=(128,)]
        By model version.
    """

    track_id: str | None
    start_ms: int
    end_ms: int
    loudness_lufs: float | None
    vectors: Mapping[int, Float32]


@dataclass(frozen=True)
class _Found:
    track_id: str
    start_ms: int
    end_ms: int
    loudness_lufs: float | None


def draw_items(
    database: Database, study: Study, asked: Asked, production: int
) -> tuple[list[Item], float]:
    """Ask every system, plant checks, level and shuffle.

    Parameters
    ----------
    database : Database
        Migrated.
    study : Study
        Its systems, number of results and seed.
    asked : Asked
        With a vector for the version of each system that has one.
    production : int
        The version that is production in this query.

    Returns
    -------
    list of Item, float
        In the order in which they are heard, and by how much the query is to be played softer, dB.
        The same study, track and region give the same.
    """
    seed = _seed(study, asked)
    excluded = [asked.track_id] if asked.track_id else []
    drawn = _draw_random(database, seed, study.results + 1, excluded)
    found: dict[tuple[str, int], tuple[_Found, list[str]]] = {}
    for system in study.systems:
        results = drawn[: study.results]
        if system != "random":
            version = production if system == "production" else BASELINE_VERSION
            results = _ask(database, asked.vectors[version], version, study.results, excluded)
        for result in results:
            _, systems = found.setdefault((result.track_id, result.start_ms), (result, []))
            systems.append(system)
    heard = [(result, tuple(systems), None) for result, systems in found.values()]
    planted = [(result, (), "random") for result in drawn[study.results :]]
    if asked.track_id:
        end = min(asked.end_ms, asked.start_ms + WINDOW_MS)
        itself = _Found(asked.track_id, asked.start_ms, end, asked.loudness_lufs)
        planted.append((itself, (), "query"))
    order = np.random.default_rng(seed).permutation(len(heard) + len(planted))
    everything = [*heard, *planted]
    return _level([everything[place] for place in order], asked.loudness_lufs)


def level_gains(loudness: Sequence[float | None]) -> list[float]:
    """Say by how much to play each softer, so that all are as loud as the softest.

    Parameters
    ----------
    loudness : sequence of float or None
        LUFS; what has none is left as it is.

    Returns
    -------
    list of float
        dB, 0 to -20: a player can always play softer, not always louder.

    Examples
    --------
    >>> level_gains([-10.0, -16.0, None, -50.0])
    [-20.0, -20.0, 0.0, 0.0]
    """
    known = [value for value in loudness if value is not None]
    softest = min(known, default=0.0)
    return [
        0.0 if value is None else round(max(SOFTEST_DB, softest - value), 2) for value in loudness
    ]


def _level(
    heard: Sequence[tuple[_Found, tuple[str, ...], str | None]], own: float | None
) -> tuple[list[Item], float]:
    gains = level_gains([*(found.loudness_lufs for found, _, _ in heard), own])
    items = [
        Item(found.track_id, found.start_ms, found.end_ms, 0.0, systems, planted)
        for found, systems, planted in heard
    ]
    levelled = [replace(item, gain_db=gain) for item, gain in zip(items, gains[:-1], strict=True)]
    return levelled, gains[-1]


def _ask(
    database: Database, vector: Float32, version: int, k: int, excluded: list[str]
) -> list[_Found]:
    hits = search_page(database, vector, version, k, excluded=excluded)
    return [_Found(hit.track_id, hit.start_ms, hit.end_ms, hit.loudness_lufs) for hit in hits]


def _draw_random(database: Database, seed: int, count: int, excluded: list[str]) -> list[_Found]:
    values = {"seed": seed, "limit": count, "excluded": excluded}
    with database.transaction() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        rows = cursor.execute(query("random_tracks"), values).fetchall()
    found = []
    for row in rows:
        start = row["draw"] % (row["duration_ms"] - WINDOW_MS + 1)
        segment = (row["track_id"], start, start + WINDOW_MS)
        found.append(_Found(*segment, find_loudness(database, *segment)))
    return found


def _seed(study: Study, asked: Asked) -> int:
    """Give every rater of the same query the same: only so can their ratings be compared."""
    named = f"{study.seed} {asked.track_id} {asked.start_ms} {asked.end_ms}"
    return int(hash_track(named)[:12], 16)
