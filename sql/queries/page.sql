-- What the page and its API ask. See search/retrieval.py, search/catalogue.py and search/map.py.

-- name: region_vector
SELECT query, windows
FROM region_vector(%(track_id)s, %(start_ms)s, %(end_ms)s, resolve_version(%(model_version)s));

-- name: examples_vector
SELECT examples_vector(%(liked)s::text[], %(liked_at)s::integer[], %(disliked)s::text[],
                       %(disliked_at)s::integer[], resolve_version(%(model_version)s));

-- name: search_page
SELECT p.rank, p.track_id, p.title, p.artist, p.album, p.genres, p.moods, p.duration_ms, p.start_ms,
       p.end_ms, p.distance, p.similarity, p.loudness_lufs, p.versions,
       substring(w.energies FROM p.start_ms / 100 + 1 FOR (p.end_ms - p.start_ms) / 100) AS energies
FROM search_page(%(vector)s::vector, %(k)s, %(skip)s, %(model_version)s, %(excluded)s::text[],
    %(genres)s::text[], %(moods)s::text[], %(artists_not_in)s::text[], %(min_duration_s)s,
    %(max_duration_s)s) p
LEFT JOIN waveforms w ON w.track_id = p.track_id
ORDER BY p.rank;

-- name: resolve_version
SELECT resolve_version(%s);

-- name: find_track
SELECT t.track_id, t.title, t.artist, t.album, t.genres, t.moods,
       round(1000 * t.duration_s)::integer AS duration_ms, w.loudness_lufs
FROM tracks t LEFT JOIN waveforms w ON w.track_id = t.track_id
WHERE t.track_id = %s AND t.state = 'served';

-- name: find_tracks
-- What begins with the words asked for comes first; title and artist are looked through.
SELECT t.track_id, t.title, t.artist, t.album, t.genres, t.moods,
       round(1000 * t.duration_s)::integer AS duration_ms, w.loudness_lufs
FROM tracks t LEFT JOIN waveforms w ON w.track_id = t.track_id
WHERE t.state = 'served'
  AND (%(words)s = '' OR strpos(lower(concat_ws(' ', t.title, t.artist, t.track_id)), lower(%(words)s)) > 0)
ORDER BY NOT starts_with(lower(t.title), lower(%(words)s)),
         NOT starts_with(lower(t.artist), lower(%(words)s)), lower(t.title), t.track_id
LIMIT %(limit)s OFFSET %(skip)s;

-- name: find_waveform
SELECT w.path, w.loudness_lufs, w.peaks, w.energies, round(1000 * t.duration_s)::integer AS duration_ms
FROM waveforms w JOIN tracks t ON t.track_id = w.track_id
WHERE w.track_id = %s AND t.state = 'served';

-- name: find_energies
SELECT substring(energies FROM %(start_ms)s / 100 + 1 FOR (%(end_ms)s - %(start_ms)s) / 100),
       loudness_lufs
FROM waveforms WHERE track_id = %(track_id)s;

-- name: list_facets
SELECT 'genres' AS facet, g.name, count(*) AS tracks
FROM tracks t CROSS JOIN unnest(t.genres) AS g (name) WHERE t.state = 'served' GROUP BY g.name
UNION ALL
SELECT 'moods', m.name, count(*)
FROM tracks t CROSS JOIN unnest(t.moods) AS m (name) WHERE t.state = 'served' GROUP BY m.name
UNION ALL
SELECT 'artists', t.artist, count(*)
FROM tracks t WHERE t.state = 'served' AND t.artist <> '' GROUP BY t.artist
ORDER BY 1, 3 DESC, 2;

-- name: describe_active
SELECT m.model_version AS version, a.activated_at AS since, m.name, m.segments, m.tracks, m.recall,
       m.trustworthiness
FROM active_model a JOIN models m ON m.model_version = a.model_version;

-- name: list_map_points
SELECT p.track_id, p.x, p.y, t.title, t.artist, t.genres[1] AS genre
FROM map_points p JOIN tracks t ON t.track_id = p.track_id
WHERE p.model_version = %s AND t.state = 'served'
ORDER BY p.track_id;

-- name: unmapped_vectors
SELECT track_id, vector FROM unmapped_vectors(%s);

-- name: replace_map
SELECT replace_map(%(model_version)s, %(track_ids)s::text[], %(x)s::real[], %(y)s::real[],
                   %(trustworthiness)s);

-- name: known_waveforms
SELECT track_id, content, path FROM waveforms WHERE energies IS NOT NULL;

-- name: upsert_waveform
-- A track that was taken down meanwhile gets none.
INSERT INTO waveforms (track_id, content, path, loudness_lufs, peaks, energies)
SELECT t.track_id, %(content)s, %(path)s, %(loudness_lufs)s, %(peaks)s, %(energies)s
FROM tracks t WHERE t.track_id = %(track_id)s AND t.state = 'served' FOR SHARE
ON CONFLICT (track_id) DO UPDATE
    SET content = excluded.content, path = excluded.path, loudness_lufs = excluded.loudness_lufs,
        peaks = excluded.peaks, energies = excluded.energies;

-- name: move_waveform
UPDATE waveforms SET path = %(path)s WHERE track_id = %(track_id)s;
