-- What analysts and their tools join on: the catalogue, and what the active version hears in it.

CREATE VIEW catalogue AS
SELECT t.track_id, t.title, t.artist, t.album, t.genres, t.moods, t.split, t.duration_s, t.state,
       t.updated_at
FROM tracks t
WHERE t.state <> 'taken_down';

COMMENT ON VIEW catalogue IS 'Every track that was not taken down, with its labels; nothing that leads to its audio.';
COMMENT ON COLUMN catalogue.state IS 'served: can be found. gone: no longer in the manifest.';


CREATE VIEW segments AS
SELECT e.track_id, e.start_ms, e.end_ms, e.model_version
FROM embeddings e JOIN tracks t ON t.track_id = e.track_id
WHERE t.state = 'served' AND e.model_version = (SELECT active_version());

COMMENT ON VIEW segments IS 'Every moment that can be found: ten seconds every five of each served track, under the active version.';


CREATE VIEW neighbours AS
SELECT e.track_id, e.rank, e.neighbour_id, n.title AS neighbour_title,
       n.artist AS neighbour_artist, e.distance, greatest(0, 1 - e.distance ^ 2 / 4) AS similarity,
       e.start_ms, e.end_ms, e.model_version
FROM neighbour_edges e
JOIN tracks t ON t.track_id = e.track_id AND t.state = 'served'
JOIN tracks n ON n.track_id = e.neighbour_id AND n.state = 'served'
WHERE e.model_version = (SELECT active_version());

COMMENT ON VIEW neighbours IS 'The ten nearest tracks of every track under the active version, computed when it was activated: for joins over the whole catalogue. Duplicates are in it.';
COMMENT ON COLUMN neighbours.rank IS 'From 1, the nearest; a rank is missing where the neighbour has left since.';
COMMENT ON COLUMN neighbours.start_ms IS 'Where the matching segment of the neighbour starts, milliseconds.';


CREATE VIEW genre_confusion AS
SELECT pair.genre, pair.neighbour_genre, count(*) AS neighbours,
       count(*) / sum(count(*)) OVER (PARTITION BY pair.genre) AS share
FROM neighbours n
JOIN tracks t ON t.track_id = n.track_id
JOIN tracks o ON o.track_id = n.neighbour_id
CROSS JOIN LATERAL (
    SELECT a AS genre, b AS neighbour_genre FROM unnest(t.genres) a, unnest(o.genres) b
) pair
GROUP BY pair.genre, pair.neighbour_genre
ORDER BY pair.genre, count(*) DESC, pair.neighbour_genre;

COMMENT ON VIEW genre_confusion IS 'Of the nearest tracks of each genre, how many are of which genre. A track of several genres counts under each.';
COMMENT ON COLUMN genre_confusion.share IS 'Of all neighbours of this genre, 0 to 1.';


CREATE VIEW hubs AS
SELECT t.track_id, t.title, t.artist, t.genres, count(n.neighbour_id) AS occurrences
FROM tracks t LEFT JOIN neighbours n ON n.neighbour_id = t.track_id
WHERE t.state = 'served'
GROUP BY t.track_id
ORDER BY occurrences DESC, t.track_id;

COMMENT ON VIEW hubs IS 'Among how many tracks'' ten nearest each track is (its k-occurrence): first those that are everyone''s neighbour, last those that are nobody''s. Ten is the mean.';


CREATE VIEW duplicates AS
SELECT d.track_id, a.title, a.artist, d.duplicate_id, b.title AS duplicate_title,
       b.artist AS duplicate_artist, d.distance, d.model_version
FROM duplicate_pairs d
JOIN tracks a ON a.track_id = d.track_id AND a.state = 'served'
JOIN tracks b ON b.track_id = d.duplicate_id AND b.state = 'served'
WHERE d.model_version = (SELECT active_version())
ORDER BY d.distance, d.track_id, d.duplicate_id;

COMMENT ON VIEW duplicates IS 'Pairs of tracks that the active version hears as one recording, each once. Answers show the nearer of them; nothing is deleted.';
COMMENT ON COLUMN duplicates.distance IS 'Mean distance from a segment of one to the nearest of the other, the greater of both directions.';


CREATE VIEW coverage AS
SELECT t.state, count(*) AS tracks,
       count(*) FILTER (WHERE EXISTS (
           SELECT FROM embeddings e
           WHERE e.model_version = (SELECT active_version()) AND e.track_id = t.track_id)) AS embedded,
       round((sum(t.duration_s) / 3600)::numeric, 1) AS hours
FROM tracks t
GROUP BY t.state
ORDER BY array_position(ARRAY['served', 'gone', 'taken_down'], t.state);

COMMENT ON VIEW coverage IS 'Tracks by state, how many of them the active version has embeddings of, and their length in hours.';


CREATE VIEW model_comparison AS
WITH shared AS (
    SELECT a.model_version, b.model_version AS other_version, a.track_id,
           count(*) FILTER (WHERE a.neighbour_id = b.neighbour_id) AS hits,
           max(greatest(a.rank, b.rank)) AS k,
           bool_or(a.rank = 1 AND b.rank = 1 AND a.neighbour_id = b.neighbour_id) AS same_first
    FROM neighbour_edges a
    JOIN neighbour_edges b ON b.track_id = a.track_id AND b.model_version > a.model_version
    JOIN tracks t ON t.track_id = a.track_id AND t.state = 'served'
    GROUP BY a.model_version, b.model_version, a.track_id
)
SELECT s.model_version, s.other_version, count(*) AS tracks,
       avg(s.hits::double precision / s.k) AS overlap,
       avg(s.same_first::integer)::double precision AS same_first
FROM shared s
GROUP BY s.model_version, s.other_version
ORDER BY s.model_version, s.other_version;

COMMENT ON VIEW model_comparison IS 'How much two loaded versions agree, over the tracks that both have: for each pair of versions whose neighbours were computed.';
COMMENT ON COLUMN model_comparison.overlap IS 'Mean share of the ten nearest tracks that both versions name, 0 to 1.';
COMMENT ON COLUMN model_comparison.same_first IS 'Share of tracks whose nearest track is the same in both.';


-- As before, but its advice is something that an analyst may do.
CREATE OR REPLACE FUNCTION track_vector(track_id text, start_ms integer, model_version integer)
RETURNS vector
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    status text;
    found  vector;
BEGIN
    SELECT t.state INTO status FROM tracks t WHERE t.track_id = track_vector.track_id;
    IF status IS DISTINCT FROM 'served' THEN
        RAISE EXCEPTION 'track % is %', track_vector.track_id,
            CASE status WHEN 'gone' THEN 'no longer in the catalogue'
                       WHEN 'taken_down' THEN 'taken down' ELSE 'unknown' END
            USING ERRCODE = 'no_data_found', HINT = 'SELECT track_id, title FROM catalogue lists them.';
    END IF;
    IF track_vector.start_ms IS NULL THEN
        EXECUTE format('SELECT l2_normalize(avg(e.embedding)) FROM %I e
                        WHERE e.model_version = $1 AND e.track_id = $2',
                       model_partition(track_vector.model_version))
            INTO found USING track_vector.model_version, track_vector.track_id;
    ELSE
        EXECUTE format('SELECT e.embedding FROM %I e
                        WHERE e.model_version = $1 AND e.track_id = $2
                        ORDER BY abs(e.start_ms - $3), e.start_ms LIMIT 1',
                       model_partition(track_vector.model_version))
            INTO found
            USING track_vector.model_version, track_vector.track_id, track_vector.start_ms;
    END IF;
    IF found IS NULL THEN
        RAISE EXCEPTION 'track % has no embeddings in model version %',
            track_vector.track_id, track_vector.model_version
            USING ERRCODE = 'no_data_found',
                  HINT = 'Its audio may have been rejected: the run''s table of rejected rows says.';
    END IF;
    RETURN found;
END $$;
