-- Views say which version they are about, and every column what it is.

CREATE OR REPLACE VIEW genre_confusion AS
SELECT pair.genre, pair.neighbour_genre, count(*) AS neighbours,
       count(*) / sum(count(*)) OVER (PARTITION BY pair.genre) AS share,
       n.model_version
FROM neighbours n
JOIN tracks t ON t.track_id = n.track_id
JOIN tracks o ON o.track_id = n.neighbour_id
CROSS JOIN LATERAL (
    SELECT a AS genre, b AS neighbour_genre FROM unnest(t.genres) a, unnest(o.genres) b
) pair
GROUP BY n.model_version, pair.genre, pair.neighbour_genre
ORDER BY pair.genre, count(*) DESC, pair.neighbour_genre;


CREATE OR REPLACE VIEW hubs AS
SELECT t.track_id, t.title, t.artist, t.genres, count(n.neighbour_id) AS occurrences,
       (SELECT active_version()) AS model_version
FROM tracks t LEFT JOIN neighbours n ON n.neighbour_id = t.track_id
WHERE t.state = 'served'
GROUP BY t.track_id
ORDER BY occurrences DESC, t.track_id;


CREATE OR REPLACE VIEW coverage AS
SELECT t.state, count(*) AS tracks,
       count(*) FILTER (WHERE EXISTS (
           SELECT FROM embeddings e
           WHERE e.model_version = (SELECT active_version()) AND e.bucket = t.bucket
             AND e.track_id = t.track_id)) AS embedded,
       round((sum(t.duration_s) / 3600)::numeric, 1) AS hours,
       (SELECT active_version()) AS model_version
FROM tracks t
GROUP BY t.state
ORDER BY array_position(ARRAY['served', 'gone', 'taken_down'], t.state);


-- What a column is called, it is, in every view; where it is more, the view says so below.
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT c.oid::regclass AS relation, a.attname AS name, said.what
        FROM (VALUES
            ('track_id', 'The catalogue''s own id of the track.'),
            ('title', 'Title of the track.'),
            ('artist', 'Artist of the track.'),
            ('album', 'Album of the track.'),
            ('genres', 'Genres, possibly none: WHERE ''jazz'' = ANY (genres).'),
            ('moods', 'Moods, possibly none: WHERE ''calm'' = ANY (moods).'),
            ('split', 'What models may use the track for: train, validation or test.'),
            ('duration_s', 'Length in seconds, where known.'),
            ('state', 'served: can be found. gone: no longer in the manifest. taken_down: must never be found again.'),
            ('updated_at', 'When anything about the track last changed.'),
            ('model_version', 'The model version that heard this.'),
            ('rank', 'From 1, the nearest.'),
            ('distance', 'Euclidean distance of the nearest segments, 0 to 2.'),
            ('similarity', '1 - distance^2 / 4: 1 for the same sound, 0.5 for unrelated ones, 0 for opposites.'),
            ('start_ms', 'Where the segment starts in the track, milliseconds.'),
            ('end_ms', 'Where the segment ends in the track, milliseconds.'),
            ('neighbour_id', 'The neighbour''s id.'),
            ('neighbour_title', 'The neighbour''s title.'),
            ('neighbour_artist', 'The neighbour''s artist.'),
            ('duplicate_id', 'The other track of the pair.'),
            ('duplicate_title', 'Title of the other track.'),
            ('duplicate_artist', 'Artist of the other track.'),
            ('genre', 'A genre of the tracks that are asked for.'),
            ('neighbour_genre', 'A genre of their neighbours.'),
            ('neighbours', 'How many neighbours there are of this pair of genres.'),
            ('occurrences', 'Among how many tracks'' ten nearest it is; ten is the mean.'),
            ('tracks', 'How many tracks.'),
            ('embedded', 'How many of them the active version has embeddings of.'),
            ('hours', 'Their length in hours.'),
            ('other_version', 'The newer model version of the two.'),
            ('name', 'The registered model.'),
            ('run_id', 'The training run in MLflow.'),
            ('active', 'Whether queries use it unless they pin another.'),
            ('segments', 'Rows when it was last complete.'),
            ('recall', 'Share of the ten true nearest segments that the index finds, over a sample.'),
            ('missed', 'Queries of the sample whose ten neighbours were all missed.'),
            ('queries', 'Size of the sample.'),
            ('ef_search', 'hnsw.ef_search that the recall was measured with.'),
            ('p50_ms', 'Median time of a query in the sample, milliseconds.'),
            ('p95_ms', '95th percentile of the same.'),
            ('created_at', 'When it was begun.'),
            ('loaded_at', 'When it was last complete; NULL before.'),
            ('verified_at', 'When its recall was found good.'),
            ('retired_at', 'When its rows were dropped.'),
            ('deleted', 'Rows deleted since its index was built.'),
            ('neighbours_at', 'When its graph of neighbours was computed last.'),
            ('study_id', 'The study.'),
            ('study', 'Name of the study.'),
            ('query_id', 'What the rater searched by.'),
            ('rater', 'Who heard and judged.'),
            ('position', 'Place in the order of hearing, from 1.'),
            ('query_track_id', 'Track that was searched by; NULL for a file of the rater''s own.'),
            ('query_start_ms', 'Where the query starts in its track, milliseconds.'),
            ('query_end_ms', 'Where the query ends.'),
            ('planted', 'A check of attention: the query itself, or a track at random; NULL for a result.'),
            ('rating', 'How similar to the query the rater found it, 0 to 10.'),
            ('comment', 'What the rater wrote, possibly nothing.'),
            ('rated_at', 'When it was rated.')
        ) AS said (name, what)
        JOIN pg_attribute a ON a.attname = said.name AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = current_schema()::regnamespace
          AND (c.relkind = 'v' OR c.relname = 'similar_track')
          AND col_description(c.oid, a.attnum) IS NULL
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', item.relation, item.name, item.what);
    END LOOP;
END $$;

COMMENT ON COLUMN model_overview.model_version IS 'The model registry''s version number.';
COMMENT ON COLUMN model_overview.state IS 'loading: rows are changing. loaded: complete and indexed. verified: recall measured and good. retired: rows dropped.';
COMMENT ON COLUMN model_comparison.model_version IS 'The older model version of the two.';
COMMENT ON COLUMN model_comparison.tracks IS 'Tracks that both versions have.';
COMMENT ON COLUMN study_results.model_version IS 'The production version when the rater searched.';
