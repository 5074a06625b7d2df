"""What each role may do, by real logins that try what they must not."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ml.errors import DatabaseError
from search import index, migrations
from search.access import add_login, set_up_roles
from search.database import Database
from search.migrations import Migration, read_migrations
from search.similarity import Filters, more_like, similar_segments, similar_tracks

if TYPE_CHECKING:
    from tests.integration.conftest import CopyDatabase
    from tests.integration.search.conftest import Catalogue

ROLES = ("owner", "loader", "web", "analyst")
VIEWS = (
    *("catalogue", "segments", "neighbours", "genre_confusion", "hubs", "duplicates", "coverage"),
    *("model_comparison", "model_overview", "study_results", "loads"),
)
WRITES = {
    "tracks": "UPDATE tracks SET title = 'mine'",
    "embeddings": "DELETE FROM embeddings_v1",
    "active": "UPDATE active_model SET model_version = 1",
    "models": "UPDATE models SET state = 'verified'",
    "metrics": "SELECT record_metrics(1, '{}')",
    "loads": "INSERT INTO bucket_loads VALUES (1, 99, now(), '{}')",
    "denylist": "DELETE FROM denylist",
    "graph": "DELETE FROM neighbour_edges",
    "retire": "SELECT retire_models()",
    "activate": "SELECT activate_model(1)",
    "takedown": "SELECT deny_track('x', 'y')",
    "load": "SELECT begin_bucket_load(1, 1, '{}', '{}')",
    "make": "CREATE TABLE mine (x integer)",
    "drop": "DROP TABLE tracks",
    "role": "CREATE ROLE mine",
    "own": "ALTER TABLE tracks OWNER TO CURRENT_USER",
    "become": "SET ROLE soundalike_owner",
    "history": "UPDATE schema_migrations SET sha256 = ''",
}
LOADER_MAY = {"tracks", "metrics", "retire", "activate", "takedown", "load"}


@pytest.fixture(scope="module")
def served(copy_database: "CopyDatabase", catalogue: "Catalogue") -> Iterator[Database]:
    """Serve a catalogue, in a database with a login for each role."""
    with copy_database("migrated") as database:
        catalogue.serve(database, 1)
        for role in ROLES:
            add_login(database, f"one_{role}", role, password="secret")
        yield database
        with database.connect() as connection:
            for role in ROLES:
                connection.execute(f"DROP ROLE one_{role}")


def log_in(database: Database, role: str) -> Database:
    return Database(make_conninfo(database.url, user=f"one_{role}", password="secret"))


def refuses(database: Database, statement: str) -> bool:
    """Try a statement, and undo it if it was not refused."""
    with database.connect() as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
        finally:
            connection.rollback()
    return False


@pytest.mark.parametrize("role", ["loader", "web", "analyst"])
@pytest.mark.parametrize("what", WRITES)
def test_login_cannot_write_what_is_not_its_own(served: Database, role: str, what: str) -> None:
    allowed = role == "loader" and what in LOADER_MAY
    assert refuses(log_in(served, role), WRITES[what]) is not allowed


@pytest.mark.parametrize("role", ["loader", "web", "analyst"])
def test_readers_see_every_view_and_may_search(
    served: Database, catalogue: "Catalogue", role: str
) -> None:
    reader = log_in(served, role)
    track = str(catalogue.frame["track_id"][0])
    expected = [i for i, _, _ in catalogue.neighbours(track, 5)]
    assert [n.track_id for n in similar_tracks(reader, track, 5)] == expected
    assert len(similar_segments(reader, track, 0, 5)) == len(more_like(reader, [track], k=5)) == 5
    assert similar_tracks(reader, track, 5, filters=Filters(ids=expected[:1]))[0].rank == 1
    with reader.connect() as connection:
        for view in VIEWS:
            connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(view)))


def test_every_view_of_what_a_model_hears_says_its_version(served: Database) -> None:
    with served.connect() as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class c WHERE relkind = 'v'"
            " AND relnamespace = 'public'::regnamespace AND NOT EXISTS (SELECT FROM pg_attribute a"
            " WHERE a.attrelid = c.oid AND a.attname = 'model_version')"
        ).fetchall()
    assert found == [("catalogue",)]


def test_analyst_sees_no_table_and_nothing_that_leads_to_audio(served: Database) -> None:
    analyst = log_in(served, "analyst")
    with served.connect() as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p')"
        ).fetchall()
        leading = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_name = ANY (%s) AND column_name ~ 'path|digest|file|fingerprint'",
            (list(VIEWS),),
        ).fetchall()
    tables = [name for (name,) in found]
    assert {"tracks", "embeddings", "embeddings_v1", "denylist"} <= set(tables)
    assert all(refuses(analyst, f'SELECT FROM "{table}"') for table in tables)
    assert leading == []


def test_web_reads_what_search_needs_and_no_vectors(served: Database) -> None:
    web = log_in(served, "web")
    assert not refuses(web, "SELECT digest, title FROM tracks")
    assert refuses(web, "SELECT FROM embeddings")
    assert refuses(web, "SELECT FROM denylist")


def test_temporary_table_does_not_stand_in_for_ours(
    served: Database, catalogue: "Catalogue"
) -> None:
    track = str(catalogue.frame["track_id"][0])
    with log_in(served, "analyst").connect() as connection:
        for table in ("tracks", "active_model", "duplicate_pairs"):
            connection.execute(f"CREATE TEMPORARY TABLE {table} (nothing integer)")
        rows = connection.execute("SELECT * FROM similar_tracks(%s, 5)", (track,)).fetchall()
    assert len(rows) == 5


def test_statements_of_analysts_time_out(served: Database) -> None:
    with log_in(served, "analyst").connect() as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("1min",)
    add_login(served, "hasty", "analyst", password="x", statement_timeout="2s")
    try:
        with (
            Database(make_conninfo(served.url, user="hasty")).connect() as connection,
            pytest.raises(psycopg.errors.QueryCanceled),
        ):
            connection.execute("SELECT pg_sleep(60)")
    finally:
        with served.connect() as connection:
            connection.execute("DROP ROLE hasty")
    with log_in(served, "web").connect() as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)


def test_loader_runs_a_versions_whole_life(
    database: Database, catalogue: "Catalogue", other_catalogue: "Catalogue"
) -> None:
    add_login(database, "life", "loader", password="x")
    try:
        loader = Database(make_conninfo(database.url, user="life"))
        assert loader.migrate() == [], "nothing to do, and so nothing to be allowed"
        catalogue.serve(loader, 1)
        other_catalogue.serve(loader, 2)
        index.rollback(loader)
        assert index.active_version(loader) == 1
        index.retire(loader, 2)
        with loader.connect() as connection:
            owners = connection.execute(
                "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
        assert owners == [("soundalike_owner",)]
    finally:
        with database.connect() as connection:
            connection.execute("DROP ROLE life")


def test_owner_migrates_what_another_made(served: Database) -> None:
    """The parameter is of pgvector, whose library this session has not loaded by itself."""
    text = (
        "CREATE TABLE later (x integer);"
        "CREATE FUNCTION later() RETURNS integer STABLE LANGUAGE sql SET hnsw.ef_search = 50"
        " AS 'SELECT 1'; ALTER TABLE tracks ADD COLUMN later integer;"
    )
    known = read_migrations()
    later = Migration(len(known) + 1, "later", text)
    url = log_in(served, "owner").url
    with psycopg.connect(url, autocommit=True) as connection:
        assert migrations.apply(connection, [*known, later]) == ["later"]
        owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'later'"
        assert connection.execute(owner).fetchone() == ("soundalike_owner",)
        connection.execute(
            "DROP TABLE later; DROP FUNCTION later; DELETE FROM schema_migrations"
            f" WHERE number = {later.number}; ALTER TABLE tracks DROP COLUMN later"
        )


@pytest.fixture
def humble(empty_database: Database) -> Iterator[Database]:
    """Give a user the database, but neither superuser's rights nor the right to make roles."""
    name = conninfo_to_dict(empty_database.url)["dbname"]
    with psycopg.connect(empty_database.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")  # which takes a superuser
        connection.execute("CREATE ROLE humble LOGIN")
        connection.execute(f"ALTER DATABASE {name} OWNER TO humble")
        yield Database(make_conninfo(empty_database.url, user="humble"))
        connection.execute(f"ALTER DATABASE {name} OWNER TO CURRENT_USER")
        connection.execute("DROP OWNED BY humble; DROP ROLE humble")


def test_user_without_the_right_to_make_roles_still_migrates(
    humble: Database, catalogue: "Catalogue", caplog: pytest.LogCaptureFixture
) -> None:
    """The roles exist on this server already; this user is in none of them."""
    humble.migrate()
    assert "roles of soundalike were not set up" in caplog.text
    assert "soundalike db roles" in caplog.text
    catalogue.serve(humble, 1)
    assert len(similar_tracks(humble, str(catalogue.frame["track_id"][0]), 5)) == 5
    with pytest.raises(DatabaseError, match="roles were not set up"):
        set_up_roles(humble)


def test_roles_are_set_up_later_by_someone_who_may(
    humble: Database, empty_database: Database, catalogue: "Catalogue"
) -> None:
    humble.migrate()
    catalogue.serve(humble, 1)
    set_up_roles(empty_database)  # by the superuser
    set_up_roles(empty_database)
    add_login(empty_database, "late", "analyst", password="x")
    try:
        late = Database(make_conninfo(empty_database.url, user="late"))
        assert len(similar_tracks(late, str(catalogue.frame["track_id"][0]), 5)) == 5
        assert refuses(late, "SELECT FROM tracks")
    finally:
        with empty_database.connect() as connection:
            connection.execute("DROP ROLE late")


def test_login_of_no_role_or_of_a_taken_name_is_refused(served: Database) -> None:
    with pytest.raises(DatabaseError, match=r"no role king \(Roles are owner, loader"):
        add_login(served, "someone", "king", password="x")
    with pytest.raises(DatabaseError, match="already exists"):
        add_login(served, "one_web", "web", password="x")
