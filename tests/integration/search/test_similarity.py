"""Neighbours by every kind of query, with filters, against a naive loop."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.errors import DatabaseError
from search.database import Database
from search.load import Segments, load_bucket
from search.similarity import (
    Filters,
    Neighbour,
    more_like,
    similar_segments,
    similar_to_vector,
    similar_tracks,
)
from search.tracks import upsert_tracks

if TYPE_CHECKING:
    from tests.integration.search.conftest import Catalogue


def rank(
    catalogue: "Catalogue",
    query: NDArray[np.floating],
    k: int,
    keep: Callable[[str], bool] = lambda _: True,
) -> list[str]:
    """Rank the tracks that are kept by their segment nearest to a vector: the oracle."""
    query = query / np.linalg.norm(query)
    nearest = {
        track: min(float(np.linalg.norm(vector - query)) for vector in vectors)
        for track, vectors in catalogue.embeddings.items()
        if keep(track)
    }
    return sorted(nearest, key=nearest.__getitem__)[:k]


def mean(catalogue: "Catalogue", track: str) -> NDArray[np.floating]:
    vector = catalogue.embeddings[track].astype(np.float64).mean(axis=0)
    unit: NDArray[np.floating] = vector / np.linalg.norm(vector)
    return unit


def ids(found: list[Neighbour]) -> list[str]:
    return [neighbour.track_id for neighbour in found]


def test_similar_tracks_equal_a_naive_loop(database: Database, catalogue: "Catalogue") -> None:
    catalogue.serve(database, 1)
    for track_id in catalogue.frame["track_id"]:
        found = similar_tracks(database, track_id, 10)
        assert [n.rank for n in found] == list(range(1, 11))
        expected = catalogue.neighbours(track_id, 10)
        assert [(n.track_id, n.start_ms) for n in found] == [(i, s) for i, _, s in expected]
        assert [n.distance for n in found] == pytest.approx([d for _, d, _ in expected], abs=1e-5)
    first = found[0]
    assert (first.title, first.artist) == (f"Title of {first.track_id}", "Artist")
    assert (first.genres, first.moods) == (["jazz", "rock"], [])
    assert (first.end_ms - first.start_ms, first.model_version) == (10_000, 1)


@pytest.mark.parametrize("k", [1, 39, 100, 1000])
def test_similar_tracks_are_as_many_as_there_are(
    database: Database, catalogue: "Catalogue", k: int
) -> None:
    catalogue.serve(database, 1)
    track_id = catalogue.frame["track_id"][7]
    found = [n.track_id for n in similar_tracks(database, track_id, k)]
    assert found == [i for i, _, _ in catalogue.neighbours(track_id, k)]
    assert len(found) == min(k, 39)


def test_similar_tracks_of_a_large_catalogue_use_the_index(
    large_database: Database, large_catalogue: "Catalogue"
) -> None:
    hits = 0
    queries = large_catalogue.frame["track_id"][:30]
    with large_database.transaction() as connection:
        for track_id in queries:
            statement = "SELECT track_id FROM similar_tracks(%s)"
            found = {i for (i,) in connection.execute(statement, (track_id,))}
            assert len(found) == 10
            hits += len(found & {i for i, _, _ in large_catalogue.neighbours(track_id, 10)})
        statement = "SELECT pg_stat_get_xact_numscans('embeddings_v1_hnsw'::regclass)"
        scans = connection.execute(statement).fetchall()[0][0]
        statement = "SELECT pg_stat_get_xact_numscans('embeddings_v1'::regclass)"
        table_scans = connection.execute(statement).fetchall()[0][0]
    assert scans >= len(queries)
    assert table_scans == 0
    assert hits >= 0.99 * 10 * len(queries)


def test_nearest_segments_are_planned_on_the_index(large_database: Database) -> None:
    distance = "(embedding <-> (SELECT embedding FROM embeddings_v1 LIMIT 1))"
    with large_database.transaction() as connection:
        plans = [
            str(
                connection.execute(
                    f"EXPLAIN SELECT * FROM embeddings_v1 ORDER BY {order} LIMIT 100"
                ).fetchall()
            )
            for order in (distance, f"{distance} + 0")
        ]
    assert "Index Scan using embeddings_v1_hnsw" in plans[0]
    assert "embeddings_v1_hnsw" not in plans[1]


QUESTIONS = {
    "similar_tracks": "SELECT * FROM similar_tracks(%(track)s{filter})",
    "similar_segments": "SELECT * FROM similar_segments(%(track)s, 5000{filter})",
    "similar_to_vector": "SELECT * FROM similar_to_vector(%(vector)s::vector{filter})",
    "more_like": "SELECT * FROM more_like(ARRAY[%(track)s, %(other)s], ARRAY[%(third)s]{filter})",
}


@pytest.mark.parametrize("name", QUESTIONS)
@pytest.mark.parametrize("exactly", [False, True])
def test_every_function_uses_the_index_but_for_small_subsets(
    large_database: Database, large_catalogue: "Catalogue", name: str, exactly: bool
) -> None:
    tracks = [str(track) for track in large_catalogue.frame["track_id"]]
    values = dict(zip(("track", "other", "third"), tracks, strict=False))
    values["vector"] = str(large_catalogue.embeddings[tracks[3]][0].tolist())
    text = QUESTIONS[name].format(filter=", ids => %(some)s" if exactly else "")
    scans = "SELECT pg_stat_get_xact_numscans(%s::regclass)"
    with large_database.transaction() as connection:
        rows = connection.execute(text.encode(), {**values, "some": tracks[10:60]}).fetchall()
        by_index, whole = (
            connection.execute(scans, (relation,)).fetchall()[0][0]
            for relation in ("embeddings_v1_hnsw", "embeddings_v1")
        )
    assert len(rows) == 10
    assert bool(by_index) is not exactly
    assert whole == 0, "neither way reads the whole table"


def test_similar_tracks_say_what_is_wrong(database: Database, catalogue: "Catalogue") -> None:
    upsert_tracks(database, catalogue.frame)
    known = catalogue.frame["track_id"][0]
    with pytest.raises(DatabaseError, match=r"no model is active yet \(Run the pipeline"):
        similar_tracks(database, known)
    catalogue.serve(database, 1)
    with pytest.raises(DatabaseError, match=r"track nobody is unknown \("):
        similar_tracks(database, "nobody")
    with pytest.raises(DatabaseError, match="k is 0"):
        similar_tracks(database, known, 0)
    with pytest.raises(DatabaseError, match="k is 2147483647, and may be at most 1000000"):
        similar_tracks(database, known, 2**31 - 1)
    assert len(similar_tracks(database, known, 10**6)) == len(catalogue.frame) - 1


def test_similar_segments_ask_with_the_segment_nearest_to_the_moment(
    database: Database, catalogue: "Catalogue"
) -> None:
    catalogue.serve(database, 1)
    track = str(catalogue.frame["track_id"][3])
    for moment, segment in ((0, 0), (5_000, 1), (7_600, 2), (10**9, -1)):
        found = similar_segments(database, track, moment, 10)
        query = catalogue.embeddings[track][segment]
        assert ids(found) == rank(catalogue, query, 10, lambda other: other != track)
    with pytest.raises(DatabaseError, match="start_ms is -1"):
        similar_segments(database, track, -1)


def test_vector_finds_the_track_it_is_of_at_similarity_one(
    database: Database, catalogue: "Catalogue"
) -> None:
    catalogue.serve(database, 1)
    track = str(catalogue.frame["track_id"][5])
    vector = catalogue.embeddings[track][2]
    first, second = similar_to_vector(database, 3 * vector, 2)
    assert (first.track_id, first.start_ms, first.rank) == (track, 10_000, 1)
    assert first.distance == pytest.approx(0, abs=1e-3)
    assert first.similarity == pytest.approx(1, abs=1e-6)
    assert second.similarity == pytest.approx(1 - second.distance**2 / 4)
    opposite = similar_to_vector(database, -vector, 100)
    assert all(0 <= neighbour.similarity < 0.7 for neighbour in opposite)


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (np.zeros(128), "vector is zero, and must have 128 numbers"),
        (np.ones(3), "vector is of 3 numbers, and must have 128"),
        (np.full(128, np.nan), "vector"),
    ],
)
def test_vector_that_is_none_is_refused(
    database: Database, catalogue: "Catalogue", vector: NDArray[np.floating], reason: str
) -> None:
    catalogue.serve(database, 1)
    with pytest.raises(DatabaseError, match=reason):
        similar_to_vector(database, vector)


def test_examples_for_and_against(database: Database, catalogue: "Catalogue") -> None:
    catalogue.serve(database, 1)
    a, b, c = map(str, catalogue.frame["track_id"][:3])

    def keep(track: str) -> bool:
        return track not in (a, b, c)

    liked = (mean(catalogue, a) + mean(catalogue, b)) / 2
    found = more_like(database, [a, b, a], [c], 10)
    assert ids(found) == rank(catalogue, liked - mean(catalogue, c) / 2, 10, keep)
    assert ids(more_like(database, [a], k=39)) == ids(similar_tracks(database, a, 39))
    with pytest.raises(DatabaseError, match="no track is liked"):
        more_like(database, [])
    with pytest.raises(DatabaseError, match="track nobody is unknown"):
        more_like(database, [a], ["nobody"])


def test_version_can_be_pinned(
    database: Database, catalogue: "Catalogue", other_catalogue: "Catalogue"
) -> None:
    catalogue.serve(database, 1)
    other_catalogue.serve(database, 2)
    track = str(catalogue.frame["track_id"][0])
    for version, heard in ((None, other_catalogue), (1, catalogue), (2, other_catalogue)):
        found = similar_tracks(database, track, 5, model_version=version)
        assert ids(found) == [i for i, _, _ in heard.neighbours(track, 5)]
        assert {n.model_version for n in found} == {version or 2}
    with pytest.raises(DatabaseError, match="model version 3 is not loaded"):
        similar_tracks(database, track, model_version=3)


FILTERS: dict[str, tuple[Filters, Callable[[int], bool]]] = {
    "genres": (Filters(genres=["g1", "g2"]), lambda n: n % 5 in (1, 2)),
    "moods": (Filters(moods=["m0"]), lambda n: n % 3 == 0),
    "artists": (
        Filters(artists_not_in=["a0", "a1", None]),  # type: ignore[list-item] # as SQL allows
        lambda n: n % 4 > 1,
    ),
    "duration": (Filters(min_duration_s=10, max_duration_s=20), lambda n: 10 <= n <= 20),
    "all": (Filters(genres=["g1"], moods=["m0"], min_duration_s=5), lambda n: n % 15 == 6),
    "nothing": (Filters(genres=["none has it"]), lambda _: False),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("exact_segments", [0, 100_000])  # by the index, and exactly
def test_filters_are_those_of_a_naive_loop(
    database: Database, catalogue: "Catalogue", name: str, exact_segments: int
) -> None:
    numbers = range(len(catalogue.frame))
    labels: dict[str, list[Any]] = {
        "genres": [(f"g{n % 5}",) for n in numbers],
        "moods": [(f"m{n % 3}", "all") for n in numbers],
        "artist": [f"a{n % 4}" for n in numbers],
        "duration_s": [float(n) if n else 0.5 for n in numbers],
    }
    frame = catalogue.frame.assign(**labels)
    catalogue.serve(database, 1)
    upsert_tracks(database, frame)
    set_exact(database, exact_segments)
    filters, passes = FILTERS[name]
    number = {str(track): n for n, track in enumerate(frame["track_id"])}
    query = str(frame["track_id"][0])
    found = similar_tracks(database, query, 10, filters=filters)
    expected = rank(
        catalogue, mean(catalogue, query), 10, lambda t: t != query and passes(number[t])
    )
    assert ids(found) == expected
    some = [track for track in number if track != query][:3]
    chosen = similar_tracks(database, query, 10, filters=Filters(ids=some))
    assert set(ids(chosen)) == set(some)


def set_exact(database: Database, segments: int) -> None:
    """Decide for later connections when a filter is answered exactly."""
    statement = f"ALTER DATABASE %I SET soundalike.exact_segments = {segments}"
    with database.transaction() as connection:
        connection.execute(
            "DO $$ BEGIN EXECUTE format('" + statement + "', current_database()); END $$"
        )


@pytest.mark.parametrize("exact_segments", [0, 100_000])
def test_filter_that_disagrees_with_the_query_is_answered_well(
    large_database: Database, large_catalogue: "Catalogue", exact_segments: int
) -> None:
    """Only a tenth passes, and nothing near the query: where an index alone finds little."""
    tracks = [str(track) for track in large_catalogue.frame["track_id"]]
    hits, wanted = 0, 0
    with large_database.connect() as connection:
        connection.execute(f"SET soundalike.exact_segments = {exact_segments}")
        for query in tracks[100:110]:
            far = rank(large_catalogue, -mean(large_catalogue, query), 90)
            rows: list[Any] = connection.execute(
                "SELECT track_id FROM similar_tracks(%s, 10, ids => %s::text[])", (query, far)
            ).fetchall()
            allowed = set(far)
            expected = rank(large_catalogue, mean(large_catalogue, query), 10, allowed.__contains__)
            hits += len({i for (i,) in rows} & set(expected))
            wanted += len(expected)
    assert hits >= 0.98 * wanted


def test_similar_tracks_go_on_until_enough_tracks_are_found(
    worn: Database, large_catalogue: "Catalogue"
) -> None:
    """One track fills the neighbourhood with more segments than a first fetch brings."""
    frame = large_catalogue.frame
    query, crowd = frame["track_id"][0], frame["track_id"][1]
    copies = large_catalogue.embeddings[query].repeat(150, axis=0)
    starts = 1000 * np.arange(len(copies))
    segments = Segments([crowd] * len(copies), starts, starts + 1, copies)
    load_bucket(worn, 1, int(frame["bucket"][1]), segments, "crowded")
    found = [n.track_id for n in similar_tracks(worn, query, 10)]
    assert found[0] == crowd
    assert len(set(found)) == 10
