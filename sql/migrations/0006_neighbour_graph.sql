-- Who is whose neighbour, kept for each version: what views and comparisons read, and what tells
-- that two tracks are one recording.

ALTER TABLE models ADD COLUMN neighbours_at timestamptz;

COMMENT ON COLUMN models.neighbours_at IS 'When the version''s graph of neighbours was computed last.';


CREATE TABLE neighbour_edges (
    model_version integer NOT NULL REFERENCES models,
    track_id      text NOT NULL,
    rank          smallint NOT NULL CHECK (rank > 0),
    neighbour_id  text NOT NULL CHECK (neighbour_id <> track_id),
    distance      double precision NOT NULL CHECK (distance BETWEEN 0 AND 2.001),
    start_ms      integer NOT NULL,
    end_ms        integer NOT NULL,
    PRIMARY KEY (model_version, track_id, rank)
);

CREATE INDEX neighbour_edges_back ON neighbour_edges (model_version, neighbour_id);

COMMENT ON TABLE neighbour_edges IS 'The ten nearest tracks of each track in each version: what the view neighbours shows of the active one.';
COMMENT ON COLUMN neighbour_edges.start_ms IS 'Where the matching segment of the neighbour starts, milliseconds.';


CREATE TABLE duplicate_pairs (
    model_version integer NOT NULL REFERENCES models,
    track_id      text NOT NULL,
    duplicate_id  text NOT NULL,
    distance      double precision NOT NULL,
    PRIMARY KEY (model_version, track_id, duplicate_id),
    CONSTRAINT pair_is_ordered CHECK (track_id < duplicate_id)
);

COMMENT ON TABLE duplicate_pairs IS 'Tracks that a version hears as one recording, each pair once.';
COMMENT ON COLUMN duplicate_pairs.distance IS 'Mean distance from a segment of one to the nearest of the other, the greater of both directions.';


-- Below this mean distance (cosine 0.995), two tracks are one recording.
CREATE FUNCTION duplicate_distance() RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 0.1;

COMMENT ON FUNCTION duplicate_distance IS 'The greatest mean distance of segments at which two tracks count as duplicates.';


CREATE FUNCTION refresh_neighbours(model_version integer) RETURNS boolean
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
            SELECT e.track_id, l2_normalize(avg(e.embedding)) AS mean
            FROM %1$I e JOIN tracks t ON t.track_id = e.track_id
            WHERE t.state = 'served'
            GROUP BY e.track_id
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
            JOIN %1$I s ON s.model_version = $1 AND s.track_id = w.a
            JOIN %1$I o ON o.model_version = $1 AND o.track_id = w.b
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

COMMENT ON FUNCTION refresh_neighbours IS 'Computes the ten nearest tracks of every track in a version, and its duplicates, unless nothing was loaded since; whether it did. Readers see the graph before until it is whole.';


-- A better-ranked duplicate stands for its versions. More are fetched for each that falls out.
CREATE FUNCTION distinct_tracks(
    query vector, k integer, model_version integer, excluded text[],
    genres text[], moods text[], artists_not_in text[],
    min_duration_s double precision, max_duration_s double precision, ids text[])
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    wanted  integer := k;
    version integer := distinct_tracks.model_version;
    hits    similar_track[];
    kept    similar_track[];
BEGIN
    IF NOT EXISTS (SELECT FROM duplicate_pairs d WHERE d.model_version = version) THEN
        RETURN QUERY SELECT * FROM nearest_tracks(
            query, k, version, excluded, distinct_tracks.genres, distinct_tracks.moods,
            artists_not_in, min_duration_s, max_duration_s, ids);
        RETURN;
    END IF;
    LOOP
        SELECT array_agg(n ORDER BY n.rank) INTO hits
        FROM nearest_tracks(
            query, wanted, version, excluded, distinct_tracks.genres, distinct_tracks.moods,
            artists_not_in, min_duration_s, max_duration_s, ids) n;
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

COMMENT ON FUNCTION distinct_tracks IS 'nearest_tracks with duplicates of a better-ranked track left out.';


CREATE OR REPLACE FUNCTION similar_to_vector(
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
    RETURN QUERY SELECT * FROM distinct_tracks(
        l2_normalize(query), k, resolve_version(similar_to_vector.model_version), '{}',
        genres, moods, artists_not_in, min_duration_s, max_duration_s, ids);
END $$;


CREATE OR REPLACE FUNCTION similar_tracks(
    track_id text, k integer DEFAULT 10, model_version integer DEFAULT NULL,
    genres text[] DEFAULT NULL, moods text[] DEFAULT NULL, artists_not_in text[] DEFAULT NULL,
    min_duration_s double precision DEFAULT NULL, max_duration_s double precision DEFAULT NULL,
    ids text[] DEFAULT NULL)
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE AS $$
DECLARE
    version integer := resolve_version(similar_tracks.model_version);
BEGIN
    RETURN QUERY SELECT * FROM distinct_tracks(
        track_vector(similar_tracks.track_id, NULL, version), k, version,
        ARRAY[similar_tracks.track_id],
        genres, moods, artists_not_in, min_duration_s, max_duration_s, ids);
END $$;


CREATE OR REPLACE FUNCTION similar_segments(
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
    RETURN QUERY SELECT * FROM distinct_tracks(
        track_vector(similar_segments.track_id, start_ms, version), k, version,
        ARRAY[similar_segments.track_id],
        genres, moods, artists_not_in, min_duration_s, max_duration_s, ids);
END $$;


CREATE OR REPLACE FUNCTION more_like(
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
    RETURN QUERY SELECT * FROM distinct_tracks(
        l2_normalize(towards), k, version, liked || coalesce(disliked, '{}'),
        genres, moods, artists_not_in, min_duration_s, max_duration_s, ids);
END $$;
