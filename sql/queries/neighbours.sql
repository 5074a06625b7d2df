-- Neighbours, and how well the index finds them. See search/index.py and search/verification.py.

-- name: similar_tracks
SELECT rank, track_id, title, artist, genres, moods, distance, start_ms, end_ms, model_version
FROM similar_tracks(%s, %s);

-- name: prepare_recall
-- A small table would be scanned, and the index never measured: rule the scan out.
SELECT model_partition(%(version)s),
       set_config('enable_seqscan', 'off', true),
       set_config('hnsw.iterative_scan', 'strict_order', true),
       set_config('hnsw.ef_search', %(ef_search)s::text, true)
FROM models
WHERE model_version = %(version)s AND state IN ('loaded', 'verified');

-- name: count_segments
SELECT count(*) FROM {partition};

-- name: sample_segments
-- The same seed draws the same segments.
SELECT track_id, start_ms, embedding
FROM {partition}
ORDER BY hashtextextended(track_id || ' ' || start_ms, %s), track_id, start_ms
LIMIT %s;

-- name: nearest_segments
SELECT embedding <-> %(query)s AS distance
FROM {partition}
WHERE NOT (track_id = %(track_id)s AND start_ms = %(start_ms)s)
ORDER BY embedding <-> %(query)s
LIMIT %(k)s;

-- name: nearest_segments_exactly
-- The addition hides the order from the index.
SELECT embedding <-> %(query)s AS distance
FROM {partition}
WHERE NOT (track_id = %(track_id)s AND start_ms = %(start_ms)s)
ORDER BY (embedding <-> %(query)s) + 0
LIMIT %(k)s;
