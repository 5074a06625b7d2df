-- The listening study. See search/study/.

-- name: create_study
INSERT INTO studies (name, raters, queries, results, systems, seed)
VALUES (%(name)s, %(raters)s, %(queries)s, %(results)s, %(systems)s::text[], %(seed)s)
RETURNING study_id, name, raters, queries, results, systems, seed, created_at;

-- name: list_studies
SELECT study_id, name, raters, queries, results, systems, seed, created_at
FROM studies ORDER BY created_at DESC LIMIT 200;

-- name: find_study
SELECT study_id, name, raters, queries, results, systems, seed, created_at
FROM studies WHERE study_id = %s;

-- name: lock_rater
-- One query of a rater at a time: two at once could be one too many.
SELECT pg_advisory_xact_lock(hashtext('soundalike study ' || %(study_id)s::text), hashtext(%(rater)s));

-- name: count_study_queries
SELECT count(*) FROM study_queries WHERE study_id = %(study_id)s AND rater = %(rater)s;

-- name: count_other_raters
SELECT count(DISTINCT rater) FROM study_queries WHERE study_id = %(study_id)s AND rater <> %(rater)s;

-- name: create_study_query
INSERT INTO study_queries (study_id, rater, track_id, start_ms, end_ms, gain_db, model_version)
VALUES (%(study_id)s, %(rater)s, %(track_id)s, %(start_ms)s, %(end_ms)s, %(gain_db)s, %(model_version)s)
RETURNING query_id;

-- name: create_study_item
INSERT INTO study_items (query_id, position, track_id, start_ms, end_ms, gain_db, systems, planted)
VALUES (%(query_id)s, %(position)s, %(track_id)s, %(start_ms)s, %(end_ms)s, %(gain_db)s,
        %(systems)s::text[], %(planted)s);

-- name: list_study_items
SELECT q.query_id, q.track_id AS query_track_id, q.start_ms AS query_start_ms,
       q.end_ms AS query_end_ms, q.gain_db AS query_gain_db, i.item_id, i.position, i.start_ms,
       i.end_ms, i.gain_db, r.rating, r.comment
FROM study_queries q
JOIN study_items i ON i.query_id = q.query_id
LEFT JOIN study_ratings r ON r.item_id = i.item_id AND r.rater = q.rater
WHERE q.study_id = %(study_id)s AND q.rater = %(rater)s
ORDER BY q.created_at, q.query_id, i.position;

-- name: find_study_item
-- The track of an item, if it is an item of that study and may still be heard.
SELECT i.track_id
FROM study_items i
JOIN study_queries q ON q.query_id = i.query_id
JOIN tracks t ON t.track_id = i.track_id AND t.state = 'served'
WHERE i.item_id = %s;

-- name: rate_item
-- Only by the rater whose query it belongs to, in that study.
INSERT INTO study_ratings (item_id, rater, rating, comment)
SELECT i.item_id, q.rater, %(rating)s, %(comment)s
FROM study_items i JOIN study_queries q ON q.query_id = i.query_id
WHERE i.item_id = %(item_id)s AND q.rater = %(rater)s AND q.study_id = %(study_id)s
ON CONFLICT (item_id, rater) DO UPDATE
    SET rating = excluded.rating, comment = excluded.comment, rated_at = now();

-- name: study_results
SELECT query_id::text, rater, position, query_track_id, query_start_ms, query_end_ms, track_id,
       start_ms, end_ms, systems, planted, model_version, rating, comment, rated_at
FROM study_results WHERE study_id = %s;

-- name: random_tracks
-- The same seed draws the same tracks and moments.
SELECT t.track_id, round(1000 * t.duration_s)::integer AS duration_ms,
       abs(hashtextextended(t.track_id, %(seed)s + 1)) AS draw
FROM tracks t JOIN waveforms w ON w.track_id = t.track_id
WHERE t.state = 'served' AND t.duration_s >= 10 AND t.track_id <> ALL (%(excluded)s::text[])
ORDER BY hashtextextended(t.track_id, %(seed)s), t.track_id
LIMIT %(limit)s;

-- name: run_of_version
SELECT run_id FROM models WHERE model_version = %s;
