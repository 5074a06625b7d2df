-- The life of a model version. See search/index.py and search/load.py.

-- name: begin_version
SELECT begin_model(%s, %s, %s);

-- name: record_metrics
SELECT record_metrics(%s, %s);

-- name: begin_bucket_load
SELECT begin_bucket_load(%s, %s, %s, %s);

-- name: commit_without_waiting
-- On this connection: a crash may undo a load as a whole, and it is simply done again.
SET synchronous_commit = off;

-- name: copy_embeddings
COPY {partition} (model_version, track_id, bucket, start_ms, end_ms, embedding)
FROM STDIN (FORMAT BINARY);

-- name: record_load
SELECT record_load(%s, %s, %s, %s);

-- name: loaded_fingerprints
SELECT bucket, fingerprints FROM bucket_loads WHERE model_version = %s ORDER BY bucket;

-- name: build_index
SELECT index_model(%s);

-- name: mark_verified
SELECT mark_verified(%(version)s, %(recall)s, %(missed)s, %(queries)s, %(ef_search)s, %(p50_ms)s,
                     %(p95_ms)s, nullif(%(loaded_at)s, '')::timestamptz);

-- name: verified_recall
-- As it was measured; a version that is not verified has none that counts.
SELECT recall, missed, queries, %(k)s::integer AS k, ef_search, p50_ms, p95_ms, segments AS rows,
       model_version AS version, deleted, loaded_at::text AS loaded_at
FROM models
WHERE model_version = %(version)s AND state = 'verified';

-- name: activate
SELECT activate_model(%s);

-- name: active_version
SELECT active_version();

-- name: retire
SELECT retire_model(%s);

-- name: rollback
SELECT rollback_model();

-- name: retire_old
SELECT retire_models(%s);

-- name: kept_versions
SELECT kept_models(%s);

-- name: rebuild_index
SELECT rebuild_index(%s);

-- name: refresh_neighbours
SELECT refresh_neighbours(%s);

-- name: list_models
SELECT model_version, name, run_id, state, active, segments, deleted, recall, missed
FROM model_overview;
