-- Neighbours, and how well the index finds them. See search/similarity.py and
-- search/verification.py.

-- name: similar_tracks
SELECT rank, track_id, title, artist, genres, moods, distance, similarity, start_ms, end_ms,
       model_version
FROM similar_tracks(%(track_id)s, k => %(k)s, model_version => %(model_version)s,
    genres => %(genres)s::text[], moods => %(moods)s::text[],
    artists_not_in => %(artists_not_in)s::text[], min_duration_s => %(min_duration_s)s,
    max_duration_s => %(max_duration_s)s, ids => %(ids)s::text[]);

-- name: similar_segments
SELECT rank, track_id, title, artist, genres, moods, distance, similarity, start_ms, end_ms,
       model_version
FROM similar_segments(%(track_id)s, %(start_ms)s, k => %(k)s, model_version => %(model_version)s,
    genres => %(genres)s::text[], moods => %(moods)s::text[],
    artists_not_in => %(artists_not_in)s::text[], min_duration_s => %(min_duration_s)s,
    max_duration_s => %(max_duration_s)s, ids => %(ids)s::text[]);

-- name: similar_to_vector
SELECT rank, track_id, title, artist, genres, moods, distance, similarity, start_ms, end_ms,
       model_version
FROM similar_to_vector(%(vector)s::vector, k => %(k)s, model_version => %(model_version)s,
    genres => %(genres)s::text[], moods => %(moods)s::text[],
    artists_not_in => %(artists_not_in)s::text[], min_duration_s => %(min_duration_s)s,
    max_duration_s => %(max_duration_s)s, ids => %(ids)s::text[]);

-- name: more_like
SELECT rank, track_id, title, artist, genres, moods, distance, similarity, start_ms, end_ms,
       model_version
FROM more_like(%(liked)s::text[], %(disliked)s::text[], k => %(k)s, model_version => %(model_version)s,
    genres => %(genres)s::text[], moods => %(moods)s::text[],
    artists_not_in => %(artists_not_in)s::text[], min_duration_s => %(min_duration_s)s,
    max_duration_s => %(max_duration_s)s, ids => %(ids)s::text[]);

-- name: prepare_recall
-- A small table would be scanned, and the index never measured: rule the scan out.
-- The breadth is that of a search for k tracks.
SELECT model_partition(%(version)s),
       set_config('hnsw.ef_search', search_breadth(model_version, %(k)s)::text, true),
       deleted,
       loaded_at::text,
       set_config('enable_seqscan', 'off', true),
       set_config('hnsw.iterative_scan', 'relaxed_order', true)
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
