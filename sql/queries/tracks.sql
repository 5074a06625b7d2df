-- The catalogue's metadata, synchronised as a whole. See search/tracks.py.

-- name: create_incoming_tracks
CREATE TEMPORARY TABLE incoming (
    track_id   text PRIMARY KEY,
    title      text,
    artist     text,
    album      text,
    genres     text[],
    moods      text[],
    split      text,
    bucket     smallint,
    digest     text,
    duration_s double precision
) ON COMMIT DROP;

-- name: copy_incoming_tracks
COPY incoming FROM STDIN;

-- name: lock_tracks
-- Two synchronisations, one after the other; readers go on.
LOCK TABLE tracks IN SHARE ROW EXCLUSIVE MODE;

-- name: update_changed_tracks
-- A track that was gone and is back counts as changed. One taken down stays so.
UPDATE tracks t
SET title = i.title, artist = i.artist, album = i.album, genres = i.genres, moods = i.moods,
    split = i.split, bucket = i.bucket, digest = i.digest, duration_s = i.duration_s,
    state = 'served', updated_at = now()
FROM incoming i
WHERE t.track_id = i.track_id
  AND t.state <> 'taken_down'
  AND (t.title, t.artist, t.album, t.genres, t.moods, t.split, t.bucket, t.digest, t.duration_s,
       t.state)
      IS DISTINCT FROM
      (i.title, i.artist, i.album, i.genres, i.moods, i.split, i.bucket, i.digest, i.duration_s,
       'served');

-- name: mark_gone_tracks
UPDATE tracks t
SET state = 'gone', updated_at = now()
WHERE t.state = 'served' AND NOT EXISTS (SELECT FROM incoming i WHERE i.track_id = t.track_id);

-- name: insert_new_tracks
INSERT INTO tracks (track_id, title, artist, album, genres, moods, split, bucket, digest, duration_s)
SELECT i.track_id, i.title, i.artist, i.album, i.genres, i.moods, i.split, i.bucket, i.digest,
       i.duration_s
FROM incoming i
WHERE NOT EXISTS (SELECT FROM tracks t WHERE t.track_id = i.track_id);
