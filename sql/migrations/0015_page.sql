-- What the page asks: vectors of regions and of examples, and pages of results.

CREATE INDEX duplicate_pairs_back ON duplicate_pairs (model_version, duplicate_id);


-- Windows of ten seconds lie every five: a longer region is the mean of those that cover it, a
-- shorter one is its middle's.
CREATE FUNCTION region_vector(
    track_id text, start_ms integer, end_ms integer, model_version integer,
    OUT query vector, OUT windows integer)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    middle integer := greatest(0, (start_ms + end_ms) / 2 - 5000);
    longer boolean := end_ms - start_ms > 10000;
    first  integer := CASE WHEN longer THEN start_ms ELSE middle END;
    last   integer := CASE WHEN longer THEN end_ms - 10000 ELSE middle END;
BEGIN
    PERFORM track_vector(region_vector.track_id, first, region_vector.model_version);  -- or an error
    EXECUTE format($q$
        SELECT l2_normalize(avg(n.embedding)), count(*)
        FROM (
            SELECT DISTINCT ON (e.start_ms) e.embedding
            FROM (SELECT generate_series($3, $4, 5000) AS at UNION SELECT $4) w
            CROSS JOIN LATERAL (
                SELECT e.start_ms, e.embedding FROM %I e
                WHERE e.model_version = $1 AND e.track_id = $2
                  AND e.bucket = (SELECT t.bucket FROM tracks t WHERE t.track_id = $2)
                ORDER BY abs(e.start_ms - w.at), e.start_ms LIMIT 1) e
            ORDER BY e.start_ms
        ) n
        $q$, model_partition(region_vector.model_version))
        INTO query, windows
        USING region_vector.model_version, region_vector.track_id, first, last;
END $$;

COMMENT ON FUNCTION region_vector IS 'Unit vector of a region of a track: the mean of the windows nearest to every five seconds of it, and how many those are.';


CREATE FUNCTION examples_vector(
    liked text[], liked_at integer[], disliked text[], disliked_at integer[], model_version integer)
RETURNS vector
LANGUAGE plpgsql STABLE AS $$
DECLARE
    towards vector;
    away    vector;
BEGIN
    SELECT avg(track_vector(i.id, i.at, examples_vector.model_version)) INTO towards
    FROM unnest(liked, liked_at) AS i (id, at);
    SELECT avg(track_vector(i.id, i.at, examples_vector.model_version)) INTO away
    FROM unnest(disliked, disliked_at) AS i (id, at);
    IF away IS NOT NULL THEN
        towards := towards - away * array_fill(0.5::real, ARRAY[128])::vector;
    END IF;
    IF NOT vector_norm(towards) > 1e-6 THEN
        RAISE EXCEPTION 'what is liked and what is disliked cancel out'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Choose other examples.';
    END IF;
    RETURN l2_normalize(towards);
END $$;

COMMENT ON FUNCTION examples_vector IS 'Unit vector of several examples (Rocchio): the mean of the liked less half the mean of the disliked, each a moment of a track, or with NULL the whole of it.';


-- Where a track's duplicates stand behind it, they are told with it.
CREATE FUNCTION search_page(
    query vector, k integer, skip integer, model_version integer, excluded text[],
    of_genres text[], of_moods text[], artists_not_in text[],
    min_duration_s double precision, max_duration_s double precision)
RETURNS TABLE (
    rank integer, track_id text, title text, artist text, album text, genres text[], moods text[],
    duration_ms integer, start_ms integer, end_ms integer, distance double precision,
    similarity double precision, loudness_lufs real, versions jsonb)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    version integer := resolve_version(search_page.model_version);
BEGIN
    RETURN QUERY
    SELECT h.rank, h.track_id, h.title, h.artist, t.album, h.genres, h.moods,
           round(1000 * t.duration_s)::integer, h.start_ms, h.end_ms, h.distance, h.similarity,
           w.loudness_lufs,
           coalesce((SELECT jsonb_agg(jsonb_build_object('track_id', o.track_id, 'title', o.title,
                                                         'artist', o.artist) ORDER BY d.distance)
                     FROM (SELECT d.duplicate_id AS id, d.distance FROM duplicate_pairs d
                           WHERE d.model_version = version AND d.track_id = h.track_id
                           UNION ALL
                           SELECT d.track_id, d.distance FROM duplicate_pairs d
                           WHERE d.model_version = version AND d.duplicate_id = h.track_id) d
                     JOIN tracks o ON o.track_id = d.id AND o.state = 'served'
                     WHERE o.track_id <> ALL (excluded)), '[]')
    FROM distinct_tracks(
        query, skip + k, version, excluded, of_genres, of_moods, artists_not_in,
        min_duration_s, max_duration_s, NULL) h
    JOIN tracks t ON t.track_id = h.track_id AND t.state = 'served'
    LEFT JOIN waveforms w ON w.track_id = h.track_id
    WHERE h.rank > skip
    ORDER BY h.rank;
END $$;

COMMENT ON FUNCTION search_page IS 'Distinct tracks nearest to a vector, from rank skip + 1 on, with what the page shows of each.';


-- Functions that read embeddings do so for the owner; the path is pinned, as in grant_access.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT p.oid::regprocedure::text FROM pg_proc p
                WHERE p.pronamespace = current_schema()::regnamespace
                  AND p.proname IN ('region_vector', 'examples_vector', 'search_page',
                                    'unmapped_vectors', 'replace_map',
                                    'forget_waveform', 'forget_map') LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                       name, current_schema());
    END LOOP;
END $$;
