"""The graph of neighbours, duplicates, and the views on them, against naive loops."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ml.errors import DatabaseError
from search import index
from search.database import Database
from search.load import load_bucket
from search.similarity import Filters, more_like, similar_segments, similar_tracks
from search.switching import activate_whole
from tests.integration.search.conftest import Catalogue, make_frame

if TYPE_CHECKING:
    from tests.integration.conftest import CopyDatabase

COPIES = ("copy a", "copy b")


def select(database: Database, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute(statement.encode(), values).fetchall()


@pytest.fixture(scope="module")
def doubled(catalogue: Catalogue) -> Catalogue:
    """Add two copies of the first track, one of them as if it had been coded again."""
    rng = np.random.default_rng(5)
    original = catalogue.embeddings[str(catalogue.frame["track_id"][0])]
    noisy = original + 0.003 * rng.normal(size=original.shape)
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    embeddings = {**catalogue.embeddings, "copy a": original, "copy b": noisy.astype(np.float32)}
    frame = make_frame(list(embeddings))
    genres: Any = [("jazz",) if n % 3 else ("rock", "pop") for n in range(len(frame))]
    return Catalogue(frame.assign(genres=genres), embeddings)


@pytest.fixture(scope="module")
def served(copy_database: "CopyDatabase", doubled: Catalogue) -> Iterator[Database]:
    with copy_database("migrated") as database:
        doubled.serve(database, 1)
        assert index.refresh_neighbours(database, 1)
        yield database


def test_neighbours_are_those_of_a_naive_loop(served: Database, doubled: Catalogue) -> None:
    rows = select(served, "SELECT track_id, neighbour_id FROM neighbours ORDER BY track_id, rank")
    for track in doubled.embeddings:
        found = [neighbour for i, neighbour in rows if i == track]
        expected = doubled.neighbours(track, 10)
        near = {i for i, d, _ in doubled.neighbours(track, 41) if d <= expected[-1][1] + 1e-5}
        assert len(found) == 10
        assert set(found) <= near, "ties may fall either way"


def test_graph_is_computed_again_only_after_a_load(database: Database, doubled: Catalogue) -> None:
    doubled.serve(database, 1)
    with pytest.raises(DatabaseError, match=r"no neighbours yet: it is unknown"):
        index.refresh_neighbours(database, 2)
    assert index.refresh_neighbours(database, 1)
    assert not index.refresh_neighbours(database, 1)
    bucket = int(doubled.frame["bucket"][0])
    ids = list(doubled.frame[doubled.frame["bucket"] == bucket]["track_id"])
    load_bucket(database, 1, bucket, doubled.segments(ids), "again")
    with pytest.raises(DatabaseError, match=r"it is loading \(Load it and build"):
        index.refresh_neighbours(database, 1)
    index.build_index(database, 1)
    assert index.refresh_neighbours(database, 1)


def test_duplicates_are_found_and_nothing_else(served: Database, doubled: Catalogue) -> None:
    rows = select(served, "SELECT track_id, duplicate_id, distance FROM duplicates")
    original = str(doubled.frame["track_id"][0])
    group = sorted((*COPIES, original))
    assert {(a, b) for a, b, _ in rows} == {
        (group[0], group[1]),
        (group[0], group[2]),
        (group[1], group[2]),
    }
    assert {a: d for a, b, d in rows if "copy b" not in (a, b)} == {"copy a": 0}
    assert all(distance < 0.1 for _, _, distance in rows)


def test_duplicates_are_collapsed_in_answers(served: Database, doubled: Catalogue) -> None:
    original, other = (str(doubled.frame["track_id"][n]) for n in (0, 7))
    group = {*COPIES, original}
    answers = [
        similar_tracks(served, other, 39),
        similar_segments(served, other, 0, 39),
        more_like(served, [other], k=39),
        similar_tracks(served, other, 100),
        similar_tracks(served, other, 5, filters=Filters(ids=[*group, *doubled.embeddings][:6])),
    ]
    for found in answers:
        assert len(group & {n.track_id for n in found}) == 1
        assert [n.rank for n in found] == list(range(1, len(found) + 1))
    assert [len(found) for found in answers[:4]] == [39] * 4, "others took the places"
    (shown,) = [n for n in answers[0] if n.track_id in group]
    nearest = min(d for i, d, _ in doubled.neighbours(other, 41) if i in group)
    assert shown.distance == pytest.approx(nearest, abs=1e-5), "the nearest stands for all"
    copies = [n.track_id for n in similar_tracks(served, original, 5) if n.track_id in group]
    assert len(copies) == 1, "a copy of the query is an answer, once"


def test_duplicate_of_what_is_not_shown_stays(database: Database, catalogue: Catalogue) -> None:
    """The second is left out for the first, and so does not stand in for the third."""
    catalogue.serve(database, 1)
    track, *_ = catalogue.frame["track_id"]
    first, second, third, *_ = near = [i for i, _, _ in catalogue.neighbours(track, 9)]
    with database.transaction() as connection:
        for pair in ((first, second), (second, third)):
            connection.execute("INSERT INTO duplicate_pairs VALUES (1, %s, %s, 0)", sorted(pair))
    found = [n.track_id for n in similar_tracks(database, track, 8)]
    assert found == [i for i in near if i != second]


def test_hubs_count_who_is_whose_neighbour(served: Database, doubled: Catalogue) -> None:
    rows = select(served, "SELECT track_id, occurrences FROM hubs")
    edges = select(served, "SELECT neighbour_id FROM neighbour_edges WHERE model_version = 1")
    counted = Counter(neighbour for (neighbour,) in edges)
    assert dict(rows) == {track: counted[track] for track in doubled.embeddings}
    assert [count for _, count in rows] == sorted(counted.values(), reverse=True) + [0] * (
        len(rows) - len(counted)
    )
    assert sum(counted.values()) == 10 * len(doubled.embeddings)


def test_genre_confusion_adds_up(served: Database, doubled: Catalogue) -> None:
    rows = select(
        served, "SELECT genre, neighbour_genre, neighbours, share::float FROM genre_confusion"
    )
    genres = dict(zip(doubled.frame["track_id"], doubled.frame["genres"], strict=True))
    edges = select(served, "SELECT track_id, neighbour_id FROM neighbours")
    counted = Counter((a, b) for i, j in edges for a in genres[i] for b in genres[j])
    assert {(a, b): n for a, b, n, _ in rows} == counted
    for genre in ("jazz", "rock", "pop"):
        assert sum(share for a, _, _, share in rows if a == genre) == pytest.approx(1)


def test_track_that_is_gone_or_taken_down_leaves_every_view(
    database: Database, doubled: Catalogue
) -> None:
    doubled.serve(database, 1)
    index.refresh_neighbours(database, 1)
    gone, down = (str(doubled.frame["track_id"][n]) for n in (1, 2))
    select(database, "UPDATE tracks SET state = 'gone' WHERE track_id = %s RETURNING 1", gone)
    select(database, "SELECT deny_track(%s, 'asked')", down)
    shown = {
        "neighbours": "SELECT track_id FROM neighbours UNION SELECT neighbour_id FROM neighbours",
        "hubs": "SELECT track_id FROM hubs",
        "segments": "SELECT track_id FROM segments",
    }
    for view, statement in shown.items():
        found = {i for (i,) in select(database, statement)}
        assert len(found) == len(doubled.embeddings) - 2, view
        assert not {gone, down} & found, view
    assert select(database, "SELECT state, tracks, embedded FROM coverage") == [
        ("served", 40, 40),
        ("gone", 1, 1),
        ("taken_down", 1, 1),
    ]
    assert down not in {i for (i,) in select(database, "SELECT track_id FROM catalogue")}
    select(database, "SELECT * FROM delete_track_embeddings(%s)", down)
    left = "SELECT count(*) FROM neighbour_edges WHERE %s IN (track_id, neighbour_id)"
    assert select(database, left, down) == [(0,)]


def test_comparison_of_two_versions_is_the_overlap_of_their_neighbours(
    database: Database, catalogue: Catalogue, other_catalogue: Catalogue
) -> None:
    catalogue.serve(database, 1)
    assert select(database, "SELECT * FROM model_comparison") == []
    other_catalogue.serve(database, 2)
    activate_whole(database, 1)
    activate_whole(database, 2)
    (row,) = select(database, "SELECT * FROM model_comparison")
    shared, first = [], []
    for track in catalogue.embeddings:
        one, two = (
            [i for i, _, _ in c.neighbours(track, 10)] for c in (catalogue, other_catalogue)
        )
        shared.append(len(set(one) & set(two)) / 10)
        first.append(one[0] == two[0])
    assert row[:3] == (1, 2, 40)
    assert row[3:] == pytest.approx((np.mean(shared), np.mean(first)))
    assert {v for (v,) in select(database, "SELECT DISTINCT model_version FROM neighbours")} == {2}
    index.rollback(database)
    assert {v for (v,) in select(database, "SELECT DISTINCT model_version FROM neighbours")} == {1}
    index.retire(database, 2)
    assert select(database, "SELECT * FROM model_comparison") == []
