-- Tracks that must never be found again. See search/takedown.py.

-- name: deny_track
SELECT deny_track(%s, %s);

-- name: allow_track
SELECT allow_track(%s);

-- name: denied_tracks
SELECT track_id FROM denylist;

-- name: delete_track_embeddings
SELECT model_version, segments FROM delete_track_embeddings(%s);

-- name: count_track_rows
-- Where the database still has a vector, a drawing, a place or a neighbour of a track.
SELECT place, count FROM (
    SELECT 'embeddings', count(*) FROM embeddings WHERE track_id = %(track_id)s
    UNION ALL
    SELECT 'waveforms', count(*) FROM waveforms WHERE track_id = %(track_id)s
    UNION ALL
    SELECT 'map_points', count(*) FROM map_points WHERE track_id = %(track_id)s
    UNION ALL
    SELECT 'neighbour_edges', count(*) FROM neighbour_edges
    WHERE %(track_id)s IN (track_id, neighbour_id)
    UNION ALL
    SELECT 'duplicate_pairs', count(*) FROM duplicate_pairs
    WHERE %(track_id)s IN (track_id, duplicate_id)) AS remains (place, count)
WHERE count > 0;

-- name: is_denied
SELECT EXISTS (SELECT FROM denylist WHERE track_id = %s);

-- name: is_findable
SELECT EXISTS (SELECT FROM tracks WHERE track_id = %s AND state <> 'taken_down');
