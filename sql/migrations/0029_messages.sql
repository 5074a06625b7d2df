-- Whoever asks for more tracks than there can be, or by a vector that is none, is told so in those
-- words: large numbers overflowed, and a vector of three numbers was told that it must have 128.

-- As before, but k has an upper limit.
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
    hit      similar_track;
    found    text[];
    pairs    duplicate_pairs[];
    kept     similar_track[];
    shown    text[];
BEGIN
    IF k > 1000000 THEN
        RAISE EXCEPTION 'k is %, and may be at most 1000000', k
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT FROM duplicate_pairs d WHERE d.model_version = version) THEN
        RETURN QUERY SELECT * FROM nearest_tracks(query, k, version, excluded, matching);
        RETURN;
    END IF;
    LOOP
        SELECT array_agg(n ORDER BY n.rank), array_agg(n.track_id) INTO hits, found
        FROM nearest_tracks(query, wanted, version, excluded, matching) n;
        SELECT array_agg(d) INTO pairs FROM duplicate_pairs d
        WHERE d.model_version = version
          AND d.track_id = ANY (found) AND d.duplicate_id = ANY (found);
        kept := CASE WHEN pairs IS NULL THEN hits ELSE '{}' END;
        shown := '{}';
        IF pairs IS NOT NULL THEN
            FOREACH hit IN ARRAY hits LOOP
                CONTINUE WHEN EXISTS (
                    SELECT FROM unnest(pairs) p
                    WHERE p.track_id = hit.track_id AND p.duplicate_id = ANY (shown)
                       OR p.duplicate_id = hit.track_id AND p.track_id = ANY (shown));
                kept := kept || hit;
                shown := shown || hit.track_id;
            END LOOP;
        END IF;
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

COMMENT ON FUNCTION distinct_tracks IS 'nearest_tracks with duplicates of a track that is shown left out.';


-- As before, but it says what was given.
CREATE OR REPLACE FUNCTION similar_to_vector(
    query vector, k integer DEFAULT 10, model_version integer DEFAULT NULL,
    genres text[] DEFAULT NULL, moods text[] DEFAULT NULL, artists_not_in text[] DEFAULT NULL,
    min_duration_s double precision DEFAULT NULL, max_duration_s double precision DEFAULT NULL,
    ids text[] DEFAULT NULL)
RETURNS SETOF similar_track
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF query IS NULL OR vector_dims(query) <> 128 OR NOT vector_norm(query) > 0 THEN
        RAISE EXCEPTION 'the query vector is %, and must have 128 numbers, not all of them zero',
                CASE WHEN query IS NULL THEN 'NULL'
                     WHEN vector_dims(query) <> 128 THEN format('of %s numbers', vector_dims(query))
                     ELSE 'zero' END
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Embed ten seconds of audio with the encoder of the model version.';
    END IF;
    RETURN QUERY SELECT * FROM distinct_tracks(
        l2_normalize(query), k, resolve_version(similar_to_vector.model_version), '{}',
        genres, moods, artists_not_in, min_duration_s, max_duration_s, ids);
END $$;
