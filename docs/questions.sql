-- Five questions that analysts ask, on whatever catalogue is served:
--
--     soundalike sql -f docs/questions.sql
--
-- Each chooses its own examples from the catalogue (\gset keeps a row's columns as variables), so
-- that it can be run as it is, and copied with other ones. docs/sql.md explains what is used.

\pset null '-'

-- Before a model is active, this says so.
SELECT resolve_version(NULL) AS version \gset

-- 1. The licence of a track fell through. What could take its place, by somebody else?
SELECT track_id AS track, artist
FROM catalogue
WHERE state = 'served'
ORDER BY md5(track_id)
LIMIT 1 \gset

SELECT rank, track_id, title, artist, genres, round(similarity::numeric, 3) AS similarity,
       make_interval(secs => start_ms / 1000) AS most_alike_from
FROM similar_tracks(:'track', 5, artists_not_in => ARRAY[:'artist']);

-- 2. An editor likes the middle of that track for a scene. Which other tracks have such a moment,
--    and are long enough for it?
SELECT max(end_ms) / 2 AS middle FROM segments WHERE track_id = :'track' \gset

SELECT rank, track_id, title, make_interval(secs => start_ms / 1000) AS cut_from,
       make_interval(secs => end_ms / 1000) AS cut_to, round(distance::numeric, 3) AS distance
FROM similar_segments(:'track', :middle, 5, min_duration_s => 15);

-- 3. A playlist has two tracks that its listeners finish and one that they skip. What comes next?
SELECT n.neighbour_id AS finished, far.track_id AS skipped
FROM neighbours n
CROSS JOIN LATERAL (SELECT track_id FROM catalogue
                    WHERE state = 'served' AND track_id NOT IN (n.track_id, n.neighbour_id)
                    ORDER BY md5(track_id) DESC
                    LIMIT 1) far
WHERE n.track_id = :'track'
ORDER BY n.rank
LIMIT 1 \gset

SELECT rank, track_id, title, artist, round(similarity::numeric, 3) AS similarity
FROM more_like(ARRAY[:'track', :'finished'], ARRAY[:'skipped'], 5);

-- 4. Which genre labels would an archivist want to hear again? Tracks of which fewer neighbours
--    share a genre than of any others.
SELECT c.track_id, c.title, c.genres,
       count(*) FILTER (WHERE o.genres && c.genres) AS neighbours_of_its_genre,
       mode() WITHIN GROUP (ORDER BY o.genres) AS most_of_them
FROM neighbours n
JOIN catalogue c ON c.track_id = n.track_id
JOIN catalogue o ON o.track_id = n.neighbour_id
GROUP BY c.track_id, c.title, c.genres
ORDER BY neighbours_of_its_genre, c.track_id
LIMIT 5;

-- 5. Who sounds like whom? Pairs of artists by how many of their tracks are each other's
--    neighbours, beside what chance would give by the number of their tracks.
WITH sizes AS (
    SELECT artist, count(*)::numeric AS tracks FROM catalogue WHERE state = 'served' GROUP BY artist
), pairs AS (
    SELECT least(c.artist, n.neighbour_artist) AS one, greatest(c.artist, n.neighbour_artist) AS other,
           count(*) AS neighbours
    FROM neighbours n
    JOIN catalogue c ON c.track_id = n.track_id
    WHERE c.artist <> n.neighbour_artist
    GROUP BY 1, 2
)
SELECT p.one, p.other, p.neighbours,
       round(p.neighbours / (20 * a.tracks * b.tracks / (SELECT sum(tracks) FROM sizes)), 1)
           AS times_chance
FROM pairs p
JOIN sizes a ON a.artist = p.one
JOIN sizes b ON b.artist = p.other
ORDER BY times_chance DESC, p.one, p.other
LIMIT 5;
