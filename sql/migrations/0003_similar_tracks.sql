-- What analysts ask: which tracks sound like this one?

CREATE TYPE similar_track AS (
    rank          integer,
    track_id      text,
    title         text,
    artist        text,
    genres        text[],
    moods         text[],
    distance      double precision,
    start_ms      integer,
    end_ms        integer,
    model_version integer
);

COMMENT ON TYPE similar_track IS 'A neighbour: rank from 1, Euclidean distance (0 to 2) of its nearest segment, and where that segment is.';


-- The k served tracks nearest to a vector. The index knows segments, so more of them are fetched
-- than tracks are wanted, and grouped. If they belong to too few tracks, fetch more; what the
-- index cannot give within its scan limits comes from an exact scan.
CREATE FUNCTION nearest_tracks(query vector, k integer, model_version integer, excluded text[])
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE
SET hnsw.iterative_scan = strict_order  -- otherwise no more than ef_search rows ever come
SET hnsw.ef_search = 400
AS $$
DECLARE
    wanted  integer := least(5000, greatest(500, 50 * k));  -- a long track has 50 windows
    exact   boolean := 10 * k > 5000;
    fetched bigint;
    hits    similar_track[];
BEGIN
    LOOP
        PERFORM set_config('hnsw.ef_search', least(1000, greatest(400, wanted))::text, true);
        EXECUTE format($q$
            WITH near AS MATERIALIZED (
                SELECT e.track_id, e.start_ms, e.end_ms, e.embedding <-> $1 AS distance
                FROM %I e
                ORDER BY %s
                LIMIT $2
            ), nearest AS (
                SELECT DISTINCT ON (n.track_id) n.*
                FROM near n JOIN tracks t ON t.track_id = n.track_id
                WHERE t.state = 'served' AND n.track_id <> ALL ($3)
                ORDER BY n.track_id, n.distance, n.start_ms
            ), ranked AS (
                SELECT row_number() OVER (ORDER BY n.distance, n.track_id)::integer AS rank, n.*
                FROM nearest n
                ORDER BY rank
                LIMIT $4
            )
            SELECT (SELECT count(*) FROM near),
                   array_agg(ROW(r.rank, r.track_id, t.title, t.artist, t.genres, t.moods,
                                 r.distance, r.start_ms, r.end_ms, $5)::similar_track
                             ORDER BY r.rank)
            FROM ranked r JOIN tracks t ON t.track_id = r.track_id
            $q$,
            model_partition(nearest_tracks.model_version),
            CASE WHEN exact THEN '(e.embedding <-> $1) + 0' ELSE 'e.embedding <-> $1' END)
            INTO fetched, hits
            USING query, CASE WHEN NOT exact THEN wanted END, excluded, k,
                  nearest_tracks.model_version;
        EXIT WHEN exact OR cardinality(hits) >= k;
        exact := fetched < wanted OR wanted * 4 > 5000;
        wanted := wanted * 4;
    END LOOP;
    RETURN QUERY SELECT * FROM unnest(hits);
END $$;

COMMENT ON FUNCTION nearest_tracks IS 'The k served tracks nearest to a vector in one model version, except those excluded.';


CREATE FUNCTION similar_tracks(
    track_id text, k integer DEFAULT 10, model_version integer DEFAULT NULL)
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    version integer := coalesce(similar_tracks.model_version, active_version());
    status   text;
    query   vector;
BEGIN
    IF k IS NULL OR k < 1 THEN
        RAISE EXCEPTION 'k is %, and must be at least 1', k
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF version IS NULL THEN
        RAISE EXCEPTION 'no model is active yet'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Run the pipeline (make pipeline) to its end.';
    ELSIF to_regclass(model_partition(version)) IS NULL THEN
        RAISE EXCEPTION 'model version % is not loaded', version
            USING ERRCODE = 'undefined_table', HINT = 'SELECT * FROM model_overview shows them.';
    END IF;
    SELECT t.state INTO status FROM tracks t WHERE t.track_id = similar_tracks.track_id;
    IF status IS DISTINCT FROM 'served' THEN
        RAISE EXCEPTION 'track % is %', similar_tracks.track_id,
            CASE status WHEN 'gone' THEN 'no longer in the catalogue'
                       WHEN 'taken_down' THEN 'taken down' ELSE 'unknown' END
            USING ERRCODE = 'no_data_found', HINT = 'SELECT track_id, title FROM tracks lists them.';
    END IF;
    EXECUTE format('SELECT l2_normalize(avg(e.embedding)) FROM %I e
                    WHERE e.model_version = $1 AND e.track_id = $2', model_partition(version))
        INTO query USING version, similar_tracks.track_id;
    IF query IS NULL THEN
        RAISE EXCEPTION 'track % has no embeddings in model version %',
            similar_tracks.track_id, version
            USING ERRCODE = 'no_data_found',
                  HINT = 'Its audio may have been rejected: the run''s table of rejected rows says.';
    END IF;
    RETURN QUERY SELECT * FROM nearest_tracks(query, k, version, ARRAY[similar_tracks.track_id]);
END $$;

COMMENT ON FUNCTION similar_tracks IS 'The k tracks that sound most like this one, nearest first: SELECT * FROM similar_tracks(''some id'', 5). The query is the mean of the track''s segments; a track is as near as its nearest segment; the active model answers unless model_version names another that is loaded.';
