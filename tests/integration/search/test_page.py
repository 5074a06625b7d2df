"""What the page asks of the database: vectors of regions and examples, pages, the map, rights."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg.conninfo import make_conninfo

from ml.audio import INT16_SCALE
from ml.audio_store import AudioStore
from ml.errors import DatabaseError
from search.access import add_login, set_up_roles
from search.catalogue import describe_active, find_track, find_tracks, list_facets
from search.database import Database
from search.index import refresh_neighbours
from search.map import list_map_points, refresh_map
from search.pool import PooledDatabase
from search.retrieval import (
    Example,
    examples_vector,
    pin_version,
    region_vector,
    search_page,
)
from search.waveforms import Excerpt, find_loudness, find_waveform, load_waveforms

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import CopyDatabase
    from tests.integration.search.conftest import Catalogue


@pytest.fixture(scope="module")
def served(copy_database: "CopyDatabase", catalogue: "Catalogue") -> Iterator[Database]:
    """Serve the forty tracks as version 1. What tests change, they change back."""
    with copy_database("migrated") as database:
        catalogue.serve(database, 1)
        yield database


def unit(vector: NDArray[np.floating]) -> NDArray[np.floating]:
    length: NDArray[np.floating] = np.linalg.norm(vector)  # type: ignore[assignment]
    return vector / length


def test_region_is_the_mean_of_its_windows(served: Database, catalogue: "Catalogue") -> None:
    track_id = max(catalogue.embeddings, key=lambda i: len(catalogue.embeddings[i]))
    vectors = catalogue.embeddings[track_id]
    cases = {
        (0, 10_000): [0],
        (0, 20_000): [0, 1, 2],
        (4000, 14_000): [1],
        (6000, 9000): [0],  # its middle is at 7.5 s, that of the first window at 5 s
        (0, 22_000): [0, 1, 2],  # windows at 0, 5, 10 and 12 s; the last is nearest to 10 s
    }
    for (start, end), members in cases.items():
        found, windows = region_vector(served, 1, track_id, start, end)
        assert windows == len(members), (start, end)
        assert np.allclose(found, unit(vectors[members].mean(axis=0)), atol=1e-5)


def test_examples_are_weighed(served: Database, catalogue: "Catalogue") -> None:
    a, b, c = list(catalogue.embeddings)[:3]
    means = {i: unit(v.mean(axis=0)) for i, v in catalogue.embeddings.items()}
    found = examples_vector(served, 1, [Example(a), Example(b, 5000)], [Example(c)])
    expected = (means[a] + catalogue.embeddings[b][1]) / 2 - means[c] / 2
    assert np.allclose(found, unit(expected), atol=1e-5)
    with pytest.raises(DatabaseError, match="unknown"):
        examples_vector(served, 1, [Example("nobody")], [])


def test_page_goes_on_where_the_last_ended(served: Database, catalogue: "Catalogue") -> None:
    track_id = next(iter(catalogue.embeddings))
    vector, _ = region_vector(served, 1, track_id, 0, 10_000)
    whole = search_page(served, vector, 1, 30, excluded=[track_id])
    assert [hit.rank for hit in whole] == list(range(1, 31))
    assert track_id not in {hit.track_id for hit in whole}
    second = search_page(served, vector, 1, 10, skip=10, excluded=[track_id])
    assert second == whole[10:20]
    distances = [
        min(np.linalg.norm(v - vector) for v in catalogue.embeddings[hit.track_id]) for hit in whole
    ]
    assert np.allclose([hit.distance for hit in whole], distances, atol=1e-5)


def test_duplicates_are_told_with_the_better_one(
    copy_database: "CopyDatabase", catalogue: "Catalogue"
) -> None:
    from tests.integration.search.conftest import Catalogue

    a, b = list(catalogue.embeddings)[:2]
    embeddings = catalogue.embeddings | {b: catalogue.embeddings[a]}
    with copy_database("migrated") as database:
        Catalogue(catalogue.frame, embeddings).serve(database, 1)
        refresh_neighbours(database, 1)
        vector, _ = region_vector(database, 1, a, 0, 10_000)
        first, *others = search_page(database, vector, 1, 39)
        assert [version["track_id"] for version in first.versions] == [
            ({a, b} - {first.track_id}).pop()
        ]
        assert {a, b}.isdisjoint(hit.track_id for hit in others)


def test_version_is_pinned(served: Database) -> None:
    assert pin_version(served) == 1
    with pytest.raises(DatabaseError, match="not loaded"):
        pin_version(served, 9)


def test_map_is_computed_once_for_what_is_loaded(served: Database) -> None:
    assert refresh_map(served, 1)
    points = list_map_points(served, 1)
    assert len(points) == 40
    assert not refresh_map(served, 1)
    assert list_map_points(served, 1) == points
    active = describe_active(served)
    assert active is not None
    assert active.trustworthiness is not None


def test_waveforms_follow_the_files(
    served: Database, tmp_path: "Path", catalogue: "Catalogue"
) -> None:
    store, row = AudioStore(tmp_path), catalogue.frame.iloc[0]
    samples = (0.5 * INT16_SCALE * np.sin(2 * np.pi * 997 / 16_000 * np.arange(48_000))).astype(
        np.int16
    )
    store.write_audio(row["digest"], samples)
    facts = {"track_id": row["track_id"], "digest": row["digest"], "samples": len(samples)}
    tracks = pd.DataFrame([facts | {"content": "one", "path": "/music/a.wav"}])
    assert load_waveforms(served, store, tracks) == 1
    assert load_waveforms(served, store, tracks.assign(path="/other/a.wav")) == 0
    found = find_waveform(served, row["track_id"])
    assert found is not None
    assert found.path == "/other/a.wav"
    # By BS.1770 a sine of 997 Hz at 0 dBFS in one channel has -3.01 LUFS.
    assert found.loudness_lufs == pytest.approx(-3.01 - 6.02, abs=0.1)
    assert found.heights.tolist() == pytest.approx([0.5] * 30, abs=0.005)
    assert load_waveforms(served, store, tracks.assign(content="two")) == 1


def test_each_stretch_has_a_loudness_of_its_own(
    served: Database, tmp_path: "Path", catalogue: "Catalogue"
) -> None:
    """Ten seconds at a tenth, then ten loud; what was measured before energies is measured anew."""
    store, row = AudioStore(tmp_path), catalogue.frame.iloc[1]
    sine = 0.5 * INT16_SCALE * np.sin(2 * np.pi * 997 / 16_000 * np.arange(320_000))
    sine[:160_000] /= 10
    store.write_audio(row["digest"], sine.astype(np.int16))
    facts = {"track_id": row["track_id"], "digest": row["digest"], "samples": len(sine)}
    tracks = pd.DataFrame([facts | {"content": "one", "path": "/music/a.wav"}])
    load_waveforms(served, store, tracks)
    levels = [find_loudness(served, row["track_id"], at, at + 10_000) for at in (0, 10_000)]
    assert levels == pytest.approx([-29.03, -9.03], abs=0.2)
    waveform = find_waveform(served, row["track_id"])
    assert waveform is not None
    assert waveform.excerpt == Excerpt(10_000, 20_000, levels[1])
    hit = search_page(served, catalogue.embeddings[row["track_id"]][2], 1, 1)[0]
    assert (hit.track_id, hit.start_ms) == (row["track_id"], 10_000)
    assert hit.loudness_lufs == levels[1]
    with served.transaction() as connection:
        connection.execute("UPDATE waveforms SET energies = NULL")
    assert find_loudness(served, row["track_id"], 0, 10_000) == pytest.approx(-9.03, abs=0.3)
    by_peaks = find_waveform(served, row["track_id"])
    assert by_peaks is not None
    assert (by_peaks.excerpt.start_ms, by_peaks.excerpt.end_ms) == (10_000, 20_000)
    assert load_waveforms(served, store, tracks) == 1


def test_tracks_and_facets_are_listed(served: Database, catalogue: "Catalogue") -> None:
    track_id = next(iter(catalogue.embeddings))
    card = find_track(served, track_id)
    assert card is not None
    assert (card.title, card.duration_ms) == (f"Title of {track_id}", 42_000)
    assert find_track(served, "nobody") is None
    assert len(find_tracks(served, "", 100)) == 40
    assert find_tracks(served, "", 10, 5) == find_tracks(served, "", 100)[5:15]
    assert find_tracks(served, "title OF", 100) == find_tracks(served, "", 100)
    facets = list_facets(served)
    assert facets.genres == [("jazz", 40), ("rock", 40)]
    assert facets.moods == []


def test_role_of_the_page_asks_all_of_it_and_changes_nothing(
    served: Database, catalogue: "Catalogue"
) -> None:
    set_up_roles(served)
    name = "page_of_a_test"
    add_login(served, name, "web", password="secret")
    try:
        database = PooledDatabase(make_conninfo(served.url, user=name))
        track_id = next(iter(catalogue.embeddings))
        vector, _ = region_vector(database, pin_version(database), track_id, 0, 10_000)
        assert search_page(database, vector, 1, 5)
        assert len(examples_vector(database, 1, [Example(track_id)], [])) == 128
        assert find_tracks(database, "", 1)
        assert describe_active(database)
        list_facets(database)
        list_map_points(database, 1)
        find_waveform(database, track_id)
        for forbidden in (
            "SELECT * FROM embeddings",
            "UPDATE tracks SET title = ''",
            "DELETE FROM waveforms",
            "SELECT * FROM denylist",
        ):
            with (
                pytest.raises(DatabaseError, match="permission denied"),
                database.transaction() as c,
            ):
                c.execute(forbidden)
        database.close()
    finally:
        with psycopg.connect(served.url, autocommit=True) as connection:
            connection.execute(f"DROP ROLE {name}")


def test_pool_survives_broken_connections(served: Database) -> None:
    pool = PooledDatabase(served.url)
    # It may open a second one while the first is on its way, and no more than that.
    first = {ask_for_backend(pool) for _ in range(20)}
    assert len(first) <= 2
    with psycopg.connect(served.url, autocommit=True) as other:
        for backend in first:
            other.execute("SELECT pg_terminate_backend(%s)", (backend,))
    assert ask_for_backend(pool) not in first
    pool.close()


def test_pool_survives_that_all_of_many_connections_broke(served: Database) -> None:
    pool = PooledDatabase(served.url)
    with ExitStack() as held:
        connections = [held.enter_context(pool.transaction()) for _ in range(8)]
        backends = [connection.info.backend_pid for connection in connections]
    with psycopg.connect(served.url, autocommit=True) as other:
        for backend in backends:
            other.execute("SELECT pg_terminate_backend(%s)", (backend,))
    assert ask_for_backend(pool) not in backends
    pool.close()


def test_pool_that_is_merely_busy_is_waited_for(
    served: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.pool.GLANCE_S", 0.05)
    pool = PooledDatabase(served.url, most=1)
    with ThreadPoolExecutor(1) as other:
        with pool.transaction() as held:
            waiting = other.submit(ask_for_backend, pool)
            time.sleep(0.2)  # longer than it would wait for a server that is away
        assert waiting.result() == held.info.backend_pid
    pool.close()


def test_server_that_is_away_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.pool.PATIENCE_S", 3600.0)  # which would be the end of this test
    pool = PooledDatabase("postgresql://127.0.0.1:1/nothing")
    with pytest.raises(DatabaseError, match="couldn't get a connection"):
        ask_for_backend(pool)
    pool.close()


def ask_for_backend(pool: PooledDatabase) -> int:
    with pool.transaction() as connection:
        return connection.info.backend_pid
