-- Tracks that must never be found again, whatever any later step is given.

CREATE TABLE denylist (
    track_id  text PRIMARY KEY CHECK (track_id <> ''),
    reason    text NOT NULL CHECK (btrim(reason) <> ''),
    denied_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE denylist IS 'Tracks that were taken down: no step of the pipeline takes them again.';
COMMENT ON COLUMN denylist.track_id IS 'The catalogue''s id; it need not be in tracks.';
COMMENT ON COLUMN denylist.reason IS 'Why, in the words of whoever took it down first.';


-- No statement, of whatever program, can make a denied track findable.
CREATE FUNCTION keep_taken_down() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM denylist d WHERE d.track_id = NEW.track_id) THEN
        NEW.state := 'taken_down';
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION keep_taken_down IS 'Trigger of tracks: the state of a track on the denylist is taken_down.';

CREATE TRIGGER keep_taken_down BEFORE INSERT OR UPDATE ON tracks
FOR EACH ROW WHEN (NEW.state <> 'taken_down') EXECUTE FUNCTION keep_taken_down();


CREATE FUNCTION deny_track(track_id text, reason text) RETURNS timestamptz
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    since timestamptz;
BEGIN
    INSERT INTO denylist (track_id, reason) VALUES (deny_track.track_id, deny_track.reason)
    ON CONFLICT (track_id) DO NOTHING;
    -- A synchronisation of tracks under way did not see the denylist: its rows are waited for.
    LOCK TABLE tracks IN ROW EXCLUSIVE MODE;
    UPDATE tracks SET state = 'taken_down', updated_at = now()
    WHERE track_id = deny_track.track_id AND state <> 'taken_down';
    SELECT d.denied_at INTO since FROM denylist d WHERE d.track_id = deny_track.track_id;
    RETURN since;
END $$;

COMMENT ON FUNCTION deny_track IS 'Puts a track on the denylist and makes it unsearchable in every version; since when it has been there.';


CREATE FUNCTION allow_track(track_id text) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    lifted boolean;
BEGIN
    DELETE FROM denylist d WHERE d.track_id = allow_track.track_id;
    lifted := FOUND;
    -- Not served before the pipeline finds it in the manifest and embeds it again.
    UPDATE tracks SET state = 'gone', updated_at = now()
    WHERE track_id = allow_track.track_id AND state = 'taken_down';
    RETURN lifted;
END $$;

COMMENT ON FUNCTION allow_track IS 'Lifts a track from the denylist, and nothing else: what was deleted stays deleted. Whether it was there.';


CREATE FUNCTION delete_track_embeddings(track_id text)
RETURNS TABLE (model_version integer, segments bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    home    smallint;
    version integer;
    deleted bigint;
BEGIN
    SELECT t.bucket INTO home FROM tracks t WHERE t.track_id = delete_track_embeddings.track_id;
    FOR version IN SELECT m.model_version FROM models m WHERE m.state <> 'retired'
                   ORDER BY m.model_version LOOP
        -- A load of its bucket that is under way may hold rows that nobody sees yet.
        PERFORM pg_advisory_xact_lock(hashtext('soundalike load ' || version), home);
        DELETE FROM embeddings e
        WHERE e.model_version = version AND e.track_id = delete_track_embeddings.track_id;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        CONTINUE WHEN deleted = 0;
        UPDATE models m SET segments = greatest(0, m.segments - deleted)
        WHERE m.model_version = version;
        -- The bucket no longer holds what it was loaded from, should the track ever come back.
        UPDATE bucket_loads l SET segments = l.segments - deleted, fingerprint = 'taken down'
        WHERE l.model_version = version AND l.bucket = home;
        model_version := version;
        segments := deleted;
        RETURN NEXT;
    END LOOP;
END $$;

COMMENT ON FUNCTION delete_track_embeddings IS 'Deletes a track''s embeddings from every version; how many were in each that had some.';


CREATE OR REPLACE FUNCTION begin_bucket_load(model_version integer, bucket integer, track_ids text[])
RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part     text := model_partition(begin_bucket_load.model_version);
    status   text;
    stranger text;
    denied   text;
BEGIN
    SELECT m.state INTO status FROM models m
    WHERE m.model_version = begin_bucket_load.model_version;
    IF status IS NULL OR status = 'retired' THEN
        RAISE EXCEPTION 'version % takes no rows: it is %', begin_bucket_load.model_version,
            coalesce(status, 'unknown')
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Begin the version first.';
    END IF;
    -- A foreign key would check row by row, at several times the cost of the load.
    SELECT min(i.track_id) INTO stranger FROM unnest(begin_bucket_load.track_ids) AS i (track_id)
    WHERE NOT EXISTS (SELECT FROM tracks t
                      WHERE t.track_id = i.track_id AND t.bucket = begin_bucket_load.bucket);
    IF stranger IS NOT NULL THEN
        RAISE EXCEPTION 'track % is not in bucket % of the table tracks', stranger,
            begin_bucket_load.bucket
            USING ERRCODE = 'foreign_key_violation', HINT = 'Load the tracks'' metadata first.';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('soundalike load ' || begin_bucket_load.model_version),
                                  begin_bucket_load.bucket);
    -- After the lock: a takedown either waits for these rows and deletes them, or is seen here.
    SELECT min(d.track_id) INTO denied FROM denylist d
    WHERE d.track_id = ANY (begin_bucket_load.track_ids);
    IF denied IS NOT NULL THEN
        RAISE EXCEPTION 'track % was taken down and cannot be loaded', denied
            USING ERRCODE = 'check_violation',
                  HINT = 'Materialise catalog again, which leaves it out, and go on from there.';
    END IF;
    -- What was verified is about to change. Queries of the active version go on meanwhile.
    UPDATE models SET state = 'loading'
    WHERE models.model_version = begin_bucket_load.model_version AND state <> 'loading';
    DELETE FROM bucket_loads l WHERE l.model_version = begin_bucket_load.model_version
                                 AND l.bucket = begin_bucket_load.bucket;
    IF FOUND THEN  -- otherwise there are no rows to look for
        EXECUTE format('DELETE FROM %I WHERE bucket = $1', part) USING begin_bucket_load.bucket;
    END IF;
    RETURN part;
END $$;
