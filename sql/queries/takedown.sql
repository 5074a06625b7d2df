-- Tracks that must never be found again. See search/takedown.py.

-- name: deny_track
SELECT deny_track(%s, %s);

-- name: allow_track
SELECT allow_track(%s);

-- name: denied_tracks
SELECT track_id FROM denylist;

-- name: delete_track_embeddings
SELECT model_version, segments FROM delete_track_embeddings(%s);

-- name: count_track_embeddings
SELECT count(*) FROM embeddings WHERE track_id = %s;

-- name: is_denied
SELECT EXISTS (SELECT FROM denylist WHERE track_id = %s);

-- name: is_findable
SELECT EXISTS (SELECT FROM tracks WHERE track_id = %s AND state <> 'taken_down');
