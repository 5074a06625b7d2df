-- What `soundalike db status` tells. See search/status.py.

-- name: server_status
SELECT current_setting('server_version') AS postgres,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector,
       pg_size_pretty(pg_database_size(current_database())) AS size,
       to_regrole('soundalike_owner') IS NOT NULL AS has_roles;
