-- What the orchestrator's pages show of the version that serves. See search/overview.py.

-- name: serving
-- How far the two agree, over the tracks that both have; nothing where the older one is retired.
SELECT a.model_version, a.previous_version, a.activated_at,
       (SELECT c.overlap FROM model_comparison c
        WHERE c.model_version = least(a.model_version, a.previous_version)
          AND c.other_version = greatest(a.model_version, a.previous_version)) AS overlap
FROM active_model a;

-- name: confusion
SELECT genre, neighbour_genre, share FROM genre_confusion;

-- name: version_size
SELECT pg_table_size(model_partition(%(version)s)::regclass) AS table_bytes,
       pg_indexes_size(model_partition(%(version)s)::regclass) AS index_bytes;
