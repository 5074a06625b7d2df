-- What a bucket was loaded from, track by track: what has not changed is not loaded again.

-- Buckets are loaded one after the other: each now fills pages of its own at the end of the key,
-- instead of a few places in all of them. What asks for a track names its bucket too.
ALTER TABLE embeddings DROP CONSTRAINT embeddings_pkey,
    ADD PRIMARY KEY (model_version, bucket, track_id, start_ms);


ALTER TABLE bucket_loads ADD COLUMN fingerprints jsonb NOT NULL DEFAULT '{}';

-- Nobody knows any more what each track was loaded from: all are replaced at the next load.
UPDATE bucket_loads l SET fingerprints = held.fingerprints
FROM (SELECT e.model_version, e.bucket, jsonb_object_agg(e.track_id, 'unknown') AS fingerprints
      FROM (SELECT DISTINCT model_version, bucket, track_id FROM embeddings) e
      GROUP BY e.model_version, e.bucket) held
WHERE held.model_version = l.model_version AND held.bucket = l.bucket;

ALTER TABLE bucket_loads DROP COLUMN fingerprint, DROP COLUMN segments;
ALTER TABLE bucket_loads ALTER COLUMN fingerprints DROP DEFAULT;

COMMENT ON TABLE bucket_loads IS 'Which buckets a version holds, and from what: written with the rows, in one transaction.';
COMMENT ON COLUMN bucket_loads.fingerprints IS 'By track id, a fingerprint of what was embedded; the pipeline skips a track whose fingerprint is the same.';

DROP FUNCTION begin_bucket_load(integer, integer, text[]);


CREATE FUNCTION begin_bucket_load(
    model_version integer, bucket integer, kept jsonb, loaded jsonb)
RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part    text := model_partition(begin_bucket_load.model_version);
    status  text;
    bad     text;
    held    jsonb;
    stale   text[];
    removed bigint;
BEGIN
    SELECT m.state INTO status FROM models m
    WHERE m.model_version = begin_bucket_load.model_version;
    IF status IS NULL OR status = 'retired' THEN
        RAISE EXCEPTION 'version % takes no rows: it is %', begin_bucket_load.model_version,
            coalesce(status, 'unknown')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Begin the version first.';
    END IF;
    -- A foreign key would check row by row, at several times the cost of the load.
    SELECT min(i.track_id) INTO bad FROM jsonb_object_keys(loaded) AS i (track_id)
    WHERE NOT EXISTS (SELECT FROM tracks t
                      WHERE t.track_id = i.track_id AND t.bucket = begin_bucket_load.bucket);
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'track % is not in bucket % of the table tracks', bad,
            begin_bucket_load.bucket
            USING ERRCODE = 'foreign_key_violation', HINT = 'Load the tracks'' metadata first.';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('soundalike load ' || begin_bucket_load.model_version),
                                  begin_bucket_load.bucket);
    -- After the lock: a takedown either waits for these rows and deletes them, or is seen here.
    SELECT min(d.track_id) INTO bad FROM denylist d WHERE loaded ? d.track_id OR kept ? d.track_id;
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'track % was taken down and cannot be loaded', bad
            USING ERRCODE = 'check_violation',
                  HINT = 'Materialise catalog again, which leaves it out, and go on from there.';
    END IF;
    SELECT l.fingerprints INTO held FROM bucket_loads l
    WHERE l.model_version = begin_bucket_load.model_version AND l.bucket = begin_bucket_load.bucket;
    IF NOT kept <@ coalesce(held, '{}') THEN
        RAISE EXCEPTION 'bucket % of version % was loaded from something else meanwhile',
            begin_bucket_load.bucket, begin_bucket_load.model_version
            USING ERRCODE = 'object_in_use', HINT = 'Another run loaded it: run this one again.';
    END IF;
    -- What was verified is about to change. Queries of the active version go on meanwhile.
    UPDATE models SET state = 'loading'
    WHERE models.model_version = begin_bucket_load.model_version AND state <> 'loading';
    SELECT array_agg(h.track_id) INTO stale FROM jsonb_object_keys(held) AS h (track_id)
    WHERE NOT kept ? h.track_id;
    IF stale IS NOT NULL THEN
        EXECUTE format('DELETE FROM %I WHERE model_version = $1 AND bucket = $2
                        AND track_id = ANY ($3)', part)
            USING begin_bucket_load.model_version, begin_bucket_load.bucket, stale;
        GET DIAGNOSTICS removed = ROW_COUNT;
        PERFORM count_deleted(begin_bucket_load.model_version, removed);
    END IF;
    INSERT INTO bucket_loads (model_version, bucket, fingerprints)
    VALUES (begin_bucket_load.model_version, begin_bucket_load.bucket, kept || loaded)
    ON CONFLICT (model_version, bucket) DO UPDATE
        SET fingerprints = excluded.fingerprints, loaded_at = now();
    RETURN part;
END $$;

COMMENT ON FUNCTION begin_bucket_load IS 'Makes a bucket of a version ready for rows of some tracks in the same transaction: those of other tracks that are not kept are deleted. Tracks are given with their fingerprints; the name of the table to copy rows into.';


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
        UPDATE models m SET segments = greatest(0, m.segments - removed)
        WHERE m.model_version = version;
        PERFORM count_deleted(version, removed);
        model_version := version;
        segments := removed;
        RETURN NEXT;
    END LOOP;
END $$;


CREATE OR REPLACE VIEW segments AS
SELECT e.track_id, e.start_ms, e.end_ms, e.model_version
FROM embeddings e JOIN tracks t ON t.track_id = e.track_id AND t.bucket = e.bucket
WHERE t.state = 'served' AND e.model_version = (SELECT active_version());


CREATE OR REPLACE VIEW coverage AS
SELECT t.state, count(*) AS tracks,
       count(*) FILTER (WHERE EXISTS (
           SELECT FROM embeddings e
           WHERE e.model_version = (SELECT active_version()) AND e.bucket = t.bucket
             AND e.track_id = t.track_id)) AS embedded,
       round((sum(t.duration_s) / 3600)::numeric, 1) AS hours
FROM tracks t
GROUP BY t.state
ORDER BY array_position(ARRAY['served', 'gone', 'taken_down'], t.state);
