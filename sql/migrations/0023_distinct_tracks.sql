-- What duplicates, takedowns and filters leave behind.

-- As before, but what falls out must be a duplicate of what is shown: with A like B and B like C,
-- C stays where A is shown and B is not.
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


-- As before, but an artist that is NULL, which is nobody's, rules nobody out.
CREATE OR REPLACE FUNCTION matching_tracks(
    genres text[], moods text[], artists_not_in text[],
    min_duration_s double precision, max_duration_s double precision, ids text[])
RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
#variable_conflict use_variable
DECLARE
    barred text[] := array_remove(artists_not_in, NULL);
BEGIN
    IF num_nonnulls(genres, moods, barred, min_duration_s, max_duration_s, ids) = 0 THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT coalesce(array_agg(t.track_id), '{}') FROM tracks t
        WHERE t.state = 'served'
          AND (genres IS NULL OR t.genres && genres)
          AND (moods IS NULL OR t.moods && moods)
          AND (barred IS NULL OR t.artist <> ALL (barred))
          AND (min_duration_s IS NULL OR t.duration_s >= min_duration_s)
          AND (max_duration_s IS NULL OR t.duration_s <= max_duration_s)
          AND (ids IS NULL OR t.track_id = ANY (ids)));
END $$;


-- As before, but the track is no longer counted, nor on any map.
CREATE OR REPLACE FUNCTION delete_track_embeddings(track_id text)
RETURNS TABLE (model_version integer, segments bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    home    smallint;
    version integer;
    removed bigint;
BEGIN
    SELECT t.bucket INTO home FROM tracks t WHERE t.track_id = delete_track_embeddings.track_id;
    DELETE FROM neighbour_edges e
    WHERE delete_track_embeddings.track_id IN (e.track_id, e.neighbour_id);
    DELETE FROM duplicate_pairs d
    WHERE delete_track_embeddings.track_id IN (d.track_id, d.duplicate_id);
    DELETE FROM map_points p WHERE p.track_id = delete_track_embeddings.track_id;
    FOR version IN SELECT m.model_version FROM models m WHERE m.state <> 'retired'
                   ORDER BY m.model_version LOOP
        -- A load of its bucket that is under way may hold rows that nobody sees yet.
        PERFORM pg_advisory_xact_lock(hashtext('soundalike load ' || version), home);
        -- Should the track ever come back, it is loaded again.
        UPDATE bucket_loads l
        SET fingerprints = l.fingerprints - delete_track_embeddings.track_id
        WHERE l.model_version = version AND l.bucket = home;
        DELETE FROM embeddings e
        WHERE e.model_version = version AND e.bucket = home
          AND e.track_id = delete_track_embeddings.track_id;
        GET DIAGNOSTICS removed = ROW_COUNT;
        CONTINUE WHEN removed = 0;
        UPDATE models m SET segments = greatest(0, m.segments - removed),
                            tracks = greatest(0, m.tracks - 1)
        WHERE m.model_version = version;
        PERFORM count_deleted(version, removed);
        model_version := version;
        segments := removed;
        RETURN NEXT;
    END LOOP;
END $$;


-- As before, but a track that was taken down while the map was computed has no place on it.
CREATE OR REPLACE FUNCTION replace_map(
    model_version integer, track_ids text[], x real[], y real[], trustworthiness double precision)
RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM lock_model(replace_map.model_version);
    DELETE FROM map_points p WHERE p.model_version = replace_map.model_version;
    INSERT INTO map_points
    SELECT replace_map.model_version, n.track_id, n.x, n.y
    FROM unnest(track_ids, replace_map.x, replace_map.y) AS n (track_id, x, y)
    JOIN tracks t ON t.track_id = n.track_id AND t.state = 'served';
    UPDATE models m SET mapped_at = now(), trustworthiness = replace_map.trustworthiness
    WHERE m.model_version = replace_map.model_version;
END $$;

DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION replace_map SECURITY DEFINER SET search_path = %I, pg_temp',
                   current_schema());
END $$;

-- Those of tracks that were taken down before.
DELETE FROM map_points p USING tracks t
WHERE t.track_id = p.track_id AND t.state = 'taken_down';
