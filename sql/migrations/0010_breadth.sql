-- How broadly to search: as broadly as k tracks of so many segments each ask for.

ALTER TABLE models ADD COLUMN tracks bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN models.tracks IS 'Tracks with segments in this version when it was last complete.';

UPDATE models m SET tracks = found.tracks
FROM (SELECT e.model_version, count(DISTINCT e.track_id) AS tracks FROM embeddings e GROUP BY 1) found
WHERE m.model_version = found.model_version;


-- Segments that k tracks may have between them, and the query's own; the nearest k tracks are among
-- so many nearest segments, or more are fetched.
CREATE FUNCTION search_segments(model_version integer, k integer) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT greatest(10 * k, least(5000, ceil((k + 1) * m.segments::numeric / greatest(m.tracks, 1))))::integer
    FROM models m WHERE m.model_version = search_segments.model_version
$$;

COMMENT ON FUNCTION search_segments IS 'How many segments are fetched for k distinct tracks: those of k + 1 tracks of this version''s mean length, at least 10 k.';


CREATE FUNCTION search_breadth(model_version integer, k integer) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT least(1000, greatest(
        search_segments(search_breadth.model_version, k),
        coalesce(nullif(current_setting('soundalike.ef_search', true), ''), '100')::integer))
$$;

COMMENT ON FUNCTION search_breadth IS 'hnsw.ef_search of a search for k tracks, and of the check of recall: what it fetches, and no less than soundalike.ef_search (100 unless set: ALTER DATABASE ... SET soundalike.ef_search = 400).';


-- As before, but for the graph: near duplicates, such as windows that overlap, are each other's
-- neighbours and crowd out the ways to other tracks. 24 neighbours (of 16 before) keep them open.
CREATE OR REPLACE FUNCTION index_model(model_version integer) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part    text := model_partition(index_model.model_version);
    index   text := part || '_hnsw';
    total   bigint;
    members bigint;
    built   boolean := false;
BEGIN
    PERFORM lock_model(index_model.model_version);
    IF to_regclass(part) IS NULL THEN
        RAISE EXCEPTION 'version % has no embeddings', index_model.model_version
            USING ERRCODE = 'undefined_table', HINT = 'Load it first.';
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', part);  -- no loads between count and state
    EXECUTE format('SELECT count(*), count(DISTINCT track_id) FROM %I', part) INTO total, members;
    IF to_regclass(index) IS NULL THEN
        -- A graph that does not fit into this memory takes 2.6 times as long: about 1.4 kB a row.
        PERFORM set_config('maintenance_work_mem', greatest(s.setting::bigint,
                               least(1048576, total * 14 / 10))::text || 'kB', true)
        FROM pg_settings s WHERE s.name = 'maintenance_work_mem';
        EXECUTE format('CREATE INDEX %I ON %I USING hnsw (embedding vector_l2_ops)
                        WITH (m = 24, ef_construction = 128)', index, part);
        built := true;
    END IF;
    EXECUTE format('ANALYZE %I', part);
    UPDATE models SET state = 'loaded', segments = total, tracks = members, loaded_at = now(),
                      recall = NULL, verified_at = NULL
    WHERE models.model_version = index_model.model_version AND state = 'loading';
    RETURN built;
END $$;


-- The k matching tracks nearest to a vector. The index knows segments, so more of them are fetched
-- than tracks are wanted, filtered and grouped. If they belong to too few tracks, fetch more; what
-- the index cannot give comes from an exact scan of what matches. A filter that few segments pass
-- is answered exactly to begin with: the index would look in the wrong place.
CREATE OR REPLACE FUNCTION nearest_tracks(
    query vector, k integer, model_version integer, excluded text[],
    genres text[] DEFAULT NULL, moods text[] DEFAULT NULL, artists_not_in text[] DEFAULT NULL,
    min_duration_s double precision DEFAULT NULL, max_duration_s double precision DEFAULT NULL,
    ids text[] DEFAULT NULL)
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE
SET hnsw.iterative_scan = relaxed_order  -- otherwise no more than ef_search rows ever come
SET hnsw.ef_search = 100
AS $$
DECLARE
    part     text    := model_partition(nearest_tracks.model_version);
    wanted   integer := search_segments(nearest_tracks.model_version, k);
    exact    boolean := 10 * k > 5000;
    filtered boolean := num_nonnulls(genres, moods, artists_not_in, min_duration_s,
                                     max_duration_s, ids) > 0;
    small    integer := coalesce(nullif(current_setting('soundalike.exact_segments', true), ''),
                                 '100000')::integer;
    matching text[];
    fetched  bigint;
    hits     similar_track[];
    source   text;
BEGIN
    IF k IS NULL OR k < 1 THEN
        RAISE EXCEPTION 'k is %, and must be at least 1', k
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF filtered THEN
        SELECT coalesce(array_agg(t.track_id), '{}') INTO matching FROM tracks t
        WHERE track_matches(t, nearest_tracks.genres, nearest_tracks.moods, artists_not_in,
                            min_duration_s, max_duration_s, ids);
        -- Segments a track, as counted at the last build: counting now would cost a search.
        exact := exact OR cardinality(matching) * (
            SELECT m.segments / greatest(m.tracks, 1) FROM models m
            WHERE m.model_version = nearest_tracks.model_version) <= small;
    END IF;
    PERFORM set_config('hnsw.ef_search',
                       search_breadth(nearest_tracks.model_version, k)::text, true);
    LOOP
        source := CASE
            WHEN exact AND filtered THEN
                'unnest($6) AS m (track_id)
                 JOIN %I e ON e.model_version = $5 AND e.track_id = m.track_id
                 ORDER BY (e.embedding <-> $1) + 0'
            WHEN exact THEN '%I e ORDER BY (e.embedding <-> $1) + 0'
            ELSE '%I e ORDER BY e.embedding <-> $1' END;
        EXECUTE format($q$
            WITH near AS MATERIALIZED (
                SELECT e.track_id, e.start_ms, e.end_ms, e.embedding <-> $1 AS distance
                FROM $q$ || source || $q$
                LIMIT $2
            ), nearest AS (
                SELECT DISTINCT ON (n.track_id) n.*
                FROM near n
                WHERE n.track_id <> ALL ($3) AND ($6 IS NULL OR n.track_id = ANY ($6))
                ORDER BY n.track_id, n.distance, n.start_ms
            ), ranked AS (
                SELECT row_number() OVER (ORDER BY n.distance, n.track_id)::integer AS rank, n.*,
                       t.title, t.artist, t.genres, t.moods
                FROM nearest n JOIN tracks t ON t.track_id = n.track_id
                WHERE t.state = 'served'
                ORDER BY rank
                LIMIT $4
            )
            SELECT (SELECT count(*) FROM near),
                   array_agg(ROW(r.rank, r.track_id, r.title, r.artist, r.genres, r.moods,
                                 r.distance, r.start_ms, r.end_ms, $5,
                                 greatest(0, 1 - r.distance ^ 2 / 4))::similar_track
                             ORDER BY r.rank)
            FROM ranked r
            $q$, part)
            INTO fetched, hits
            USING query, CASE WHEN NOT exact THEN wanted END, excluded, k,
                  nearest_tracks.model_version, matching;
        EXIT WHEN exact OR cardinality(hits) >= k;
        exact := fetched < wanted OR wanted * 4 > 5000;
        wanted := wanted * 4;
        PERFORM set_config('hnsw.ef_search', least(1000, wanted)::text, true);
    END LOOP;
    RETURN QUERY SELECT * FROM unnest(hits);
END $$;

-- What was replaced keeps its rights where there are roles.
DO $$ BEGIN
    IF to_regproc('grant_access') IS NOT NULL THEN
        PERFORM grant_access();
    END IF;
END $$;
