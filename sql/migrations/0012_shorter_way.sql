-- The same answers by a shorter way: what depends on a version's table, and is therefore planned
-- at each call, is one scan; the rest is planned once a session. Filters become track ids once.

DROP FUNCTION nearest_tracks(vector, integer, integer, text[], text[], text[], text[],
                             double precision, double precision, text[]);
DROP FUNCTION track_matches(tracks, text[], text[], text[],
                            double precision, double precision, text[]);


CREATE FUNCTION matching_tracks(
    genres text[], moods text[], artists_not_in text[],
    min_duration_s double precision, max_duration_s double precision, ids text[])
RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
#variable_conflict use_variable
BEGIN
    IF num_nonnulls(genres, moods, artists_not_in, min_duration_s, max_duration_s, ids) = 0 THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT coalesce(array_agg(t.track_id), '{}') FROM tracks t
        WHERE t.state = 'served'
          AND (genres IS NULL OR t.genres && genres)
          AND (moods IS NULL OR t.moods && moods)
          AND (artists_not_in IS NULL OR t.artist <> ALL (artists_not_in))
          AND (min_duration_s IS NULL OR t.duration_s >= min_duration_s)
          AND (max_duration_s IS NULL OR t.duration_s <= max_duration_s)
          AND (ids IS NULL OR t.track_id = ANY (ids)));
END $$;

COMMENT ON FUNCTION matching_tracks IS 'The served tracks that pass the filters, or NULL if there are none: a filter that is NULL passes all, a list passes what has any of it.';


CREATE OR REPLACE FUNCTION search_segments(model_version integer, k integer) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT greatest(10 * k, least(5000, ceil((k + 1) * m.segments::numeric
                                                 / greatest(m.tracks, 1))))::integer
        FROM models m WHERE m.model_version = search_segments.model_version);
END $$;


CREATE FUNCTION least_breadth(segments integer) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
RETURN least(1000, greatest(
    segments, coalesce(nullif(current_setting('soundalike.ef_search', true), ''), '100')::integer));

COMMENT ON FUNCTION least_breadth IS 'hnsw.ef_search of a search for so many segments: as many, and no less than soundalike.ef_search (100 unless set), at most 1000.';


CREATE OR REPLACE FUNCTION search_breadth(model_version integer, k integer) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
RETURN least_breadth(search_segments(search_breadth.model_version, k));


CREATE FUNCTION nearest_segments(
    query vector, model_version integer, wanted integer, matching text[], exact boolean)
RETURNS TABLE (track_id text, start_ms integer, end_ms integer, distance double precision)
LANGUAGE plpgsql STABLE ROWS 100
SET hnsw.iterative_scan = relaxed_order  -- otherwise no more than ef_search rows ever come
SET hnsw.ef_search = 100
AS $$
BEGIN
    PERFORM set_config('hnsw.ef_search', least_breadth(wanted)::text, true);
    RETURN QUERY EXECUTE format(
        CASE WHEN exact AND matching IS NULL THEN $q$
            SELECT DISTINCT ON (e.track_id)
                   e.track_id, e.start_ms, e.end_ms, e.embedding <-> $1 AS distance
            FROM %I e
            ORDER BY e.track_id, distance, e.start_ms $q$
        WHEN exact THEN $q$
            SELECT DISTINCT ON (e.track_id)
                   e.track_id, e.start_ms, e.end_ms, e.embedding <-> $1 AS distance
            FROM tracks t
            JOIN %I e ON e.model_version = $2 AND e.bucket = t.bucket AND e.track_id = t.track_id
            WHERE t.track_id = ANY ($4)
            ORDER BY e.track_id, distance, e.start_ms $q$
        WHEN matching IS NULL THEN $q$
            SELECT e.track_id, e.start_ms, e.end_ms, e.embedding <-> $1
            FROM %I e ORDER BY e.embedding <-> $1 LIMIT $3 $q$
        ELSE $q$
            SELECT n.* FROM (
                SELECT e.track_id, e.start_ms, e.end_ms, e.embedding <-> $1
                FROM %I e ORDER BY e.embedding <-> $1 LIMIT $3
            ) n
            WHERE n.track_id = ANY ($4) $q$
        END, model_partition(model_version))
        USING query, model_version, wanted, matching;
END $$;

COMMENT ON FUNCTION nearest_segments IS 'Segments of a version near a vector: of the nearest so many by the index those of the matching tracks, or exactly the nearest of each matching track; NULL matches all.';


-- The index knows segments, so more of them are fetched than tracks are wanted, and grouped. If
-- they belong to too few tracks, fetch more; what the index cannot give comes from an exact scan
-- of what matches. A filter that few segments pass is answered exactly to begin with: the index
-- would look in the wrong place.
CREATE FUNCTION nearest_tracks(
    query vector, k integer, model_version integer, excluded text[], matching text[] DEFAULT NULL)
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE AS $$
DECLARE
    wanted integer := search_segments(nearest_tracks.model_version, k);
    exact  boolean := 10 * k > 5000;
    hits   similar_track[];
BEGIN
    IF k IS NULL OR k < 1 THEN
        RAISE EXCEPTION 'k is %, and must be at least 1', k
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF matching IS NOT NULL AND NOT exact THEN
        -- Segments a track, as counted at the last build: counting now would cost a search.
        exact := cardinality(matching) * (
                SELECT m.segments / greatest(m.tracks, 1) FROM models m
                WHERE m.model_version = nearest_tracks.model_version)
            <= coalesce(nullif(current_setting('soundalike.exact_segments', true), ''),
                        '100000')::integer;
    END IF;
    LOOP
        SELECT array_agg(ROW(r.rank, r.track_id, r.title, r.artist, r.genres, r.moods,
                             r.distance, r.start_ms, r.end_ms, nearest_tracks.model_version,
                             greatest(0, 1 - r.distance ^ 2 / 4))::similar_track ORDER BY r.rank)
        INTO hits
        FROM (
            SELECT row_number() OVER (ORDER BY n.distance, n.track_id)::integer AS rank, n.*,
                   t.title, t.artist, t.genres, t.moods
            FROM (
                SELECT DISTINCT ON (s.track_id) s.*
                FROM nearest_segments(query, nearest_tracks.model_version, wanted, matching,
                                      exact) s
                WHERE s.track_id <> ALL (excluded)
                ORDER BY s.track_id, s.distance, s.start_ms
            ) n
            JOIN tracks t ON t.track_id = n.track_id
            WHERE t.state = 'served'
            ORDER BY rank
            LIMIT k
        ) r;
        EXIT WHEN exact OR cardinality(hits) >= k;
        wanted := wanted * 4;
        exact := wanted > 5000;
    END LOOP;
    RETURN QUERY SELECT * FROM unnest(hits);
END $$;

COMMENT ON FUNCTION nearest_tracks IS 'The k matching served tracks nearest to a vector in one model version, except those excluded. Filters that at most soundalike.exact_segments segments pass (100000 unless set) are searched exactly, others by the index.';


-- A better-ranked duplicate stands for its versions. More are fetched for each that falls out.
CREATE OR REPLACE FUNCTION distinct_tracks(
    query vector, k integer, model_version integer, excluded text[],
    genres text[], moods text[], artists_not_in text[],
    min_duration_s double precision, max_duration_s double precision, ids text[])
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    wanted   integer := k;
    version  integer := distinct_tracks.model_version;
    matching text[]  := matching_tracks(distinct_tracks.genres, distinct_tracks.moods,
                                        artists_not_in, min_duration_s, max_duration_s, ids);
    hits     similar_track[];
    kept     similar_track[];
BEGIN
    IF NOT EXISTS (SELECT FROM duplicate_pairs d WHERE d.model_version = version) THEN
        RETURN QUERY SELECT * FROM nearest_tracks(query, k, version, excluded, matching);
        RETURN;
    END IF;
    LOOP
        SELECT array_agg(n ORDER BY n.rank) INTO hits
        FROM nearest_tracks(query, wanted, version, excluded, matching) n;
        SELECT array_agg(h ORDER BY h.rank) INTO kept
        FROM unnest(hits) h
        WHERE NOT EXISTS (
            SELECT FROM unnest(hits) better
            JOIN duplicate_pairs d ON d.model_version = version
                AND d.track_id = least(better.track_id, h.track_id)
                AND d.duplicate_id = greatest(better.track_id, h.track_id)
            WHERE better.rank < h.rank);
        EXIT WHEN cardinality(kept) >= k OR coalesce(cardinality(hits), 0) < wanted;
        wanted := wanted * 2;
    END LOOP;
    RETURN QUERY
        SELECT row_number() OVER (ORDER BY h.rank)::integer, h.track_id, h.title, h.artist,
               h.genres, h.moods, h.distance, h.start_ms, h.end_ms, h.model_version, h.similarity
        FROM unnest(kept) h
        ORDER BY h.rank
        LIMIT k;
END $$;


CREATE OR REPLACE FUNCTION resolve_version(model_version integer) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
DECLARE
    version integer := coalesce(resolve_version.model_version,
                                (SELECT a.model_version FROM active_model a));
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


CREATE OR REPLACE FUNCTION track_vector(track_id text, start_ms integer, model_version integer)
RETURNS vector
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    track tracks;
    found vector;
BEGIN
    SELECT * INTO track FROM tracks t WHERE t.track_id = track_vector.track_id;
    IF track.state IS DISTINCT FROM 'served' THEN
        RAISE EXCEPTION 'track % is %', track_vector.track_id,
            CASE track.state WHEN 'gone' THEN 'no longer in the catalogue'
                             WHEN 'taken_down' THEN 'taken down' ELSE 'unknown' END
            USING ERRCODE = 'no_data_found', HINT = 'SELECT track_id, title FROM catalogue lists them.';
    END IF;
    EXECUTE format(
        CASE WHEN track_vector.start_ms IS NULL THEN $q$
            SELECT l2_normalize(avg(e.embedding)) FROM %I e
            WHERE e.model_version = $1 AND e.bucket = $2 AND e.track_id = $3 $q$
        ELSE $q$
            SELECT e.embedding FROM %I e
            WHERE e.model_version = $1 AND e.bucket = $2 AND e.track_id = $3
            ORDER BY abs(e.start_ms - $4), e.start_ms LIMIT 1 $q$
        END, model_partition(track_vector.model_version))
        INTO found
        USING track_vector.model_version, track.bucket, track.track_id, track_vector.start_ms;
    IF found IS NULL THEN
        RAISE EXCEPTION 'track % has no embeddings in model version %',
            track_vector.track_id, track_vector.model_version
            USING ERRCODE = 'no_data_found',
                  HINT = 'Its audio may have been rejected: the run''s table of rejected rows says.';
    END IF;
    RETURN found;
END $$;


CREATE OR REPLACE FUNCTION refresh_neighbours(model_version integer) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part  text := model_partition(refresh_neighbours.model_version);
    known models;
BEGIN
    PERFORM lock_model(refresh_neighbours.model_version);
    SELECT * INTO known FROM models m WHERE m.model_version = refresh_neighbours.model_version;
    IF known.state IS NULL OR known.state NOT IN ('loaded', 'verified') THEN
        RAISE EXCEPTION 'version % has no neighbours yet: it is %',
            refresh_neighbours.model_version, coalesce(known.state, 'unknown')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Load it and build its index.';
    END IF;
    IF known.neighbours_at >= known.loaded_at THEN
        RETURN false;
    END IF;
    DELETE FROM neighbour_edges e WHERE e.model_version = refresh_neighbours.model_version;
    DELETE FROM duplicate_pairs d WHERE d.model_version = refresh_neighbours.model_version;
    -- Means that are far apart rule duplicates out, so that few pairs are compared in full.
    EXECUTE format($q$
        WITH means AS MATERIALIZED (
            SELECT e.track_id, e.bucket, l2_normalize(avg(e.embedding)) AS mean
            FROM %1$I e JOIN tracks t ON t.track_id = e.track_id
            WHERE t.state = 'served'
            GROUP BY e.track_id, e.bucket
        ), edges AS (
            INSERT INTO neighbour_edges
            SELECT $1, m.track_id, n.rank, n.track_id, n.distance, n.start_ms, n.end_ms
            FROM means m
            CROSS JOIN LATERAL nearest_tracks(m.mean, 10, $1, ARRAY[m.track_id]) n
            RETURNING track_id, neighbour_id
        ), pairs AS MATERIALIZED (
            SELECT DISTINCT least(a.track_id, b.track_id) AS one,
                            greatest(a.track_id, b.track_id) AS other
            FROM edges e
            JOIN means a ON a.track_id = e.track_id
            JOIN means b ON b.track_id = e.neighbour_id
            WHERE a.mean <-> b.mean < 2 * duplicate_distance()
        ), ways AS (
            SELECT p.one, p.other, w.a, s.start_ms, min(s.embedding <-> o.embedding) AS distance
            FROM pairs p
            CROSS JOIN LATERAL (VALUES (p.one, p.other), (p.other, p.one)) AS w (a, b)
            JOIN means m ON m.track_id = w.a
            JOIN means n ON n.track_id = w.b
            JOIN %1$I s ON s.model_version = $1 AND s.bucket = m.bucket AND s.track_id = w.a
            JOIN %1$I o ON o.model_version = $1 AND o.bucket = n.bucket AND o.track_id = w.b
            GROUP BY p.one, p.other, w.a, s.start_ms
        ), measured AS (
            SELECT w.one, w.other, avg(w.distance) AS distance
            FROM ways w
            GROUP BY w.one, w.other, w.a
        )
        INSERT INTO duplicate_pairs
        SELECT $1, m.one, m.other, max(m.distance)
        FROM measured m
        GROUP BY m.one, m.other
        HAVING max(m.distance) < duplicate_distance()
        $q$, part)
        USING refresh_neighbours.model_version;
    UPDATE models SET neighbours_at = now()
    WHERE models.model_version = refresh_neighbours.model_version;
    RETURN true;
END $$;
