-- Search by track, by moment, by vector and by several examples, each with the same filters.

ALTER TYPE similar_track ADD ATTRIBUTE similarity double precision;

COMMENT ON TYPE similar_track IS 'A neighbour: rank from 1, Euclidean distance (0 to 2) of its nearest segment, where that segment is, and the similarity 1 - distance^2 / 4, which is (1 + cosine) / 2: 1 for the same sound, 0.5 for unrelated ones, 0 for opposites.';

DROP FUNCTION similar_tracks(text, integer, integer);
DROP FUNCTION nearest_tracks(vector, integer, integer, text[]);


CREATE FUNCTION track_matches(
    t tracks, genres text[], moods text[], artists_not_in text[],
    min_duration_s double precision, max_duration_s double precision, ids text[])
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT t.state = 'served'
       AND (genres IS NULL OR t.genres && genres)
       AND (moods IS NULL OR t.moods && moods)
       AND (artists_not_in IS NULL OR t.artist <> ALL (artists_not_in))
       AND (min_duration_s IS NULL OR t.duration_s >= min_duration_s)
       AND (max_duration_s IS NULL OR t.duration_s <= max_duration_s)
       AND (ids IS NULL OR t.track_id = ANY (ids))
$$;

COMMENT ON FUNCTION track_matches IS 'Whether a track is served and passes the filters; a filter that is NULL passes all, a list passes what has any of it.';


-- The version that a caller pinned, or the active one; an error that helps if it is not loaded.
CREATE FUNCTION resolve_version(model_version integer) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
DECLARE
    version integer := coalesce(resolve_version.model_version, active_version());
BEGIN
    IF version IS NULL THEN
        RAISE EXCEPTION 'no model is active yet'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Run the pipeline (make pipeline) to its end.';
    ELSIF to_regclass(model_partition(version)) IS NULL THEN
        RAISE EXCEPTION 'model version % is not loaded', version
            USING ERRCODE = 'undefined_table', HINT = 'SELECT * FROM model_overview shows them.';
    END IF;
    RETURN version;
END $$;

COMMENT ON FUNCTION resolve_version IS 'The loaded version to search: the one named, or the active one for NULL.';


-- The mean of a track's segments, or the segment that holds the moment start_ms.
CREATE FUNCTION track_vector(track_id text, start_ms integer, model_version integer)
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
            USING ERRCODE = 'no_data_found', HINT = 'SELECT track_id, title FROM tracks lists them.';
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

COMMENT ON FUNCTION track_vector IS 'Unit vector of a track in a version: the mean of its segments, or the segment that starts nearest to start_ms.';


-- The k matching tracks nearest to a vector. The index knows segments, so more of them are fetched
-- than tracks are wanted, filtered and grouped. If they belong to too few tracks, fetch more; what
-- the index cannot give comes from an exact scan of what matches. A filter that few segments pass
-- is answered exactly to begin with: the index would look in the wrong place.
CREATE FUNCTION nearest_tracks(
    query vector, k integer, model_version integer, excluded text[],
    genres text[] DEFAULT NULL, moods text[] DEFAULT NULL, artists_not_in text[] DEFAULT NULL,
    min_duration_s double precision DEFAULT NULL, max_duration_s double precision DEFAULT NULL,
    ids text[] DEFAULT NULL)
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE
SET hnsw.iterative_scan = strict_order  -- otherwise no more than ef_search rows ever come
SET hnsw.ef_search = 400
AS $$
DECLARE
    part     text    := model_partition(nearest_tracks.model_version);
    wanted   integer := least(5000, greatest(500, 50 * k));  -- a long track has 50 windows
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
        -- Segments a track, from the statistics: counting them would cost as much as the search.
        exact := exact OR cardinality(matching) * (
            SELECT greatest(c.reltuples, 1) FROM pg_class c WHERE c.oid = to_regclass(part)
        ) / (SELECT greatest(count(*), 1) FROM tracks t WHERE t.state = 'served') <= small;
    END IF;
    LOOP
        PERFORM set_config('hnsw.ef_search', least(1000, greatest(400, wanted))::text, true);
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
                FROM near n JOIN tracks t ON t.track_id = n.track_id
                WHERE t.state = 'served' AND n.track_id <> ALL ($3)
                  AND ($6 IS NULL OR n.track_id = ANY ($6))
                ORDER BY n.track_id, n.distance, n.start_ms
            ), ranked AS (
                SELECT row_number() OVER (ORDER BY n.distance, n.track_id)::integer AS rank, n.*
                FROM nearest n
                ORDER BY rank
                LIMIT $4
            )
            SELECT (SELECT count(*) FROM near),
                   array_agg(ROW(r.rank, r.track_id, t.title, t.artist, t.genres, t.moods,
                                 r.distance, r.start_ms, r.end_ms, $5,
                                 greatest(0, 1 - r.distance ^ 2 / 4))::similar_track
                             ORDER BY r.rank)
            FROM ranked r JOIN tracks t ON t.track_id = r.track_id
            $q$, part)
            INTO fetched, hits
            USING query, CASE WHEN NOT exact THEN wanted END, excluded, k,
                  nearest_tracks.model_version, matching;
        EXIT WHEN exact OR cardinality(hits) >= k;
        exact := fetched < wanted OR wanted * 4 > 5000;
        wanted := wanted * 4;
    END LOOP;
    RETURN QUERY SELECT * FROM unnest(hits);
END $$;

COMMENT ON FUNCTION nearest_tracks IS 'The k matching served tracks nearest to a vector in one model version, except those excluded. Filters that at most soundalike.exact_segments segments pass (100000 unless set) are searched exactly, others by the index.';


CREATE FUNCTION similar_to_vector(
    query vector, k integer DEFAULT 10, model_version integer DEFAULT NULL,
    genres text[] DEFAULT NULL, moods text[] DEFAULT NULL, artists_not_in text[] DEFAULT NULL,
    min_duration_s double precision DEFAULT NULL, max_duration_s double precision DEFAULT NULL,
    ids text[] DEFAULT NULL)
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF query IS NULL OR vector_dims(query) <> 128 OR NOT vector_norm(query) > 0 THEN
        RAISE EXCEPTION 'the query vector must have 128 numbers, not all of them zero'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Embed ten seconds of audio with the encoder of the model version.';
    END IF;
    RETURN QUERY SELECT * FROM nearest_tracks(
        l2_normalize(query), k, resolve_version(similar_to_vector.model_version), '{}',
        genres, moods, artists_not_in, min_duration_s, max_duration_s, ids);
END $$;

COMMENT ON FUNCTION similar_to_vector IS 'The k tracks nearest to an embedding, which must come from the encoder of the version that answers: pin it with model_version.';


CREATE FUNCTION similar_tracks(
    track_id text, k integer DEFAULT 10, model_version integer DEFAULT NULL,
    genres text[] DEFAULT NULL, moods text[] DEFAULT NULL, artists_not_in text[] DEFAULT NULL,
    min_duration_s double precision DEFAULT NULL, max_duration_s double precision DEFAULT NULL,
    ids text[] DEFAULT NULL)
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE AS $$
DECLARE
    version integer := resolve_version(similar_tracks.model_version);
BEGIN
    RETURN QUERY SELECT * FROM nearest_tracks(
        track_vector(similar_tracks.track_id, NULL, version), k, version,
        ARRAY[similar_tracks.track_id],
        genres, moods, artists_not_in, min_duration_s, max_duration_s, ids);
END $$;

COMMENT ON FUNCTION similar_tracks IS 'The k tracks that sound most like this one, nearest first: SELECT * FROM similar_tracks(''some id'', 5). The query is the mean of the track''s segments; a track is as near as its nearest segment; the active model answers unless model_version names another that is loaded.';


CREATE FUNCTION similar_segments(
    track_id text, start_ms integer, k integer DEFAULT 10, model_version integer DEFAULT NULL,
    genres text[] DEFAULT NULL, moods text[] DEFAULT NULL, artists_not_in text[] DEFAULT NULL,
    min_duration_s double precision DEFAULT NULL, max_duration_s double precision DEFAULT NULL,
    ids text[] DEFAULT NULL)
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE AS $$
DECLARE
    version integer := resolve_version(similar_segments.model_version);
BEGIN
    IF start_ms IS NULL OR start_ms < 0 THEN
        RAISE EXCEPTION 'start_ms is %, and must be a moment of the track in milliseconds', start_ms
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY SELECT * FROM nearest_tracks(
        track_vector(similar_segments.track_id, start_ms, version), k, version,
        ARRAY[similar_segments.track_id],
        genres, moods, artists_not_in, min_duration_s, max_duration_s, ids);
END $$;

COMMENT ON FUNCTION similar_segments IS 'The k other tracks with a moment most like this one: SELECT * FROM similar_segments(''some id'', 60000, 5). The query is the segment of ten seconds that starts nearest to start_ms.';


-- Rocchio: towards the mean of what is liked, half as far from the mean of what is not.
CREATE FUNCTION more_like(
    liked text[], disliked text[] DEFAULT '{}', k integer DEFAULT 10,
    model_version integer DEFAULT NULL,
    genres text[] DEFAULT NULL, moods text[] DEFAULT NULL, artists_not_in text[] DEFAULT NULL,
    min_duration_s double precision DEFAULT NULL, max_duration_s double precision DEFAULT NULL,
    ids text[] DEFAULT NULL)
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE AS $$
DECLARE
    version integer := resolve_version(more_like.model_version);
    towards vector;
    away    vector;
BEGIN
    SELECT avg(track_vector(i, NULL, version)) INTO towards
    FROM (SELECT DISTINCT unnest(liked) AS i) examples;
    SELECT avg(track_vector(i, NULL, version)) INTO away
    FROM (SELECT DISTINCT unnest(disliked) AS i) examples;
    IF towards IS NULL THEN
        RAISE EXCEPTION 'no track is liked' USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Name at least one: more_like(ARRAY[''some id'']).';
    END IF;
    IF away IS NOT NULL THEN
        towards := towards - away * array_fill(0.5::real, ARRAY[128])::vector;
    END IF;
    IF NOT vector_norm(towards) > 1e-6 THEN
        RAISE EXCEPTION 'what is liked and what is disliked cancel out'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Choose other examples.';
    END IF;
    RETURN QUERY SELECT * FROM nearest_tracks(
        l2_normalize(towards), k, version, liked || coalesce(disliked, '{}'),
        genres, moods, artists_not_in, min_duration_s, max_duration_s, ids);
END $$;

COMMENT ON FUNCTION more_like IS 'The k tracks most like several examples and unlike others: SELECT * FROM more_like(ARRAY[''a'', ''b''], ARRAY[''c''], 5). The query is the mean of the liked tracks less half the mean of the disliked; the examples themselves are left out.';
