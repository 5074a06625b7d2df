-- What the migration runner needs. See search/migrations.py.

-- name: lock_migrations
-- One runner at a time in this database, whatever the process.
SELECT pg_advisory_lock(hashtext('soundalike migrations'));

-- name: unlock_migrations
SELECT pg_advisory_unlock(hashtext('soundalike migrations'));

-- name: create_schema_migrations
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: applied_migrations
SELECT number, name, sha256 FROM schema_migrations ORDER BY number;

-- name: record_migration
INSERT INTO schema_migrations (number, name, sha256) VALUES (%s, %s, %s);

-- name: pgvector_version
SELECT installed_version, default_version FROM pg_available_extensions WHERE name = 'vector';

-- name: has_migrations
SELECT to_regclass('schema_migrations') IS NOT NULL;

-- name: load_pgvector
-- Until its library is loaded, only a superuser may set its parameters on a function.
SELECT '[0]'::vector;

-- name: become_owner
-- What a migration makes belongs to whoever owns the rest.
SELECT set_config('role', tableowner, true) FROM pg_tables
WHERE schemaname = current_schema() AND tablename = 'schema_migrations';

-- name: become_oneself
SELECT set_config('role', 'none', true);

-- name: can_grant_access
SELECT to_regprocedure('grant_access()') IS NOT NULL;

-- name: lacks_access
-- Whether what readers call has lost its owner's rights, or never had any given, and whoever asks
-- may give them: a function that is replaced loses the first.
SELECT EXISTS (SELECT FROM pg_proc p
               WHERE p.pronamespace = current_schema()::regnamespace
                 AND (p.proname IN ('active_version', 'resolve_version', 'similar_tracks',
                                    'similar_segments', 'similar_to_vector', 'more_like',
                                    'search_page', 'mark_verified')
                      AND NOT p.prosecdef
                      OR p.proname = 'nearest_tracks' AND p.proacl IS NULL))
   AND EXISTS (SELECT FROM pg_roles r
               WHERE r.rolname = current_user AND (r.rolsuper OR r.rolcreaterole)
                  OR r.rolname = 'soundalike_owner' AND pg_has_role(r.oid, 'MEMBER'));

-- name: grant_access
SELECT grant_access();

-- name: add_login
SELECT add_login(%s, %s, %s, %s);
