-- A version in use: what was deleted from its index, rebuilding it, going back, retiring the old.

ALTER TABLE models ADD COLUMN deleted bigint NOT NULL DEFAULT 0 CHECK (deleted >= 0);

COMMENT ON COLUMN models.deleted IS 'Rows deleted from this version since its index was built: those that a reload of a bucket replaced, and those of tracks taken down.';


CREATE FUNCTION count_deleted(model_version integer, rows bigint) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    -- Before there is an index, nothing in it can die.
    IF rows > 0 AND to_regclass(model_partition(count_deleted.model_version) || '_hnsw') IS NOT NULL
    THEN
        UPDATE models SET deleted = deleted + rows
        WHERE models.model_version = count_deleted.model_version;
    END IF;
END $$;

COMMENT ON FUNCTION count_deleted IS 'Notes how many rows of a version were deleted since its index was built.';


CREATE OR REPLACE FUNCTION begin_model(model_version integer, name text, run_id text) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part  text := model_partition(begin_model.model_version);
    known models;
BEGIN
    PERFORM lock_model(begin_model.model_version);
    SELECT * INTO known FROM models m WHERE m.model_version = begin_model.model_version;
    IF known.state IN ('loading', 'loaded', 'verified') THEN
        IF (known.name, known.run_id) IS DISTINCT FROM (begin_model.name, begin_model.run_id) THEN
            RAISE EXCEPTION 'version % in this database is % of run %, not % of run %',
                begin_model.model_version, known.name, known.run_id,
                begin_model.name, begin_model.run_id
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'The model registry and the database have different histories: '
                             'give this registry a database of its own, or retire that version.';
        END IF;
        RETURN;
    END IF;
    INSERT INTO models (model_version, name, run_id)
    VALUES (begin_model.model_version, begin_model.name, begin_model.run_id)
    ON CONFLICT (model_version) DO UPDATE
        SET name = excluded.name, run_id = excluded.run_id, state = 'loading',
            created_at = now(), retired_at = NULL, neighbours_at = NULL, deleted = 0;
    -- Made beside and attached: unlike PARTITION OF, this does not wait for readers.
    EXECUTE format('CREATE TABLE %I (LIKE embeddings INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE embeddings ATTACH PARTITION %I FOR VALUES IN (%s)',
                   part, begin_model.model_version);
    IF to_regrole('soundalike_loader') IS NOT NULL THEN
        EXECUTE format('GRANT SELECT, INSERT ON %I TO soundalike_loader', part);
    END IF;
END $$;


CREATE OR REPLACE FUNCTION begin_bucket_load(model_version integer, bucket integer, track_ids text[])
RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part     text := model_partition(begin_bucket_load.model_version);
    status   text;
    stranger text;
    denied   text;
    replaced bigint;
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
        GET DIAGNOSTICS replaced = ROW_COUNT;
        PERFORM count_deleted(begin_bucket_load.model_version, replaced);
    END IF;
    RETURN part;
END $$;


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
        DELETE FROM embeddings e
        WHERE e.model_version = version AND e.track_id = delete_track_embeddings.track_id;
        GET DIAGNOSTICS removed = ROW_COUNT;
        CONTINUE WHEN removed = 0;
        UPDATE models m SET segments = greatest(0, m.segments - removed)
        WHERE m.model_version = version;
        PERFORM count_deleted(version, removed);
        -- The bucket no longer holds what it was loaded from, should the track ever come back.
        UPDATE bucket_loads l SET segments = l.segments - removed, fingerprint = 'taken down'
        WHERE l.model_version = version AND l.bucket = home;
        model_version := version;
        segments := removed;
        RETURN NEXT;
    END LOOP;
END $$;


CREATE OR REPLACE FUNCTION retire_model(model_version integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM lock_model(retire_model.model_version);
    PERFORM FROM models m WHERE m.model_version = retire_model.model_version FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no version %', retire_model.model_version
            USING ERRCODE = 'no_data_found', HINT = 'SELECT * FROM model_overview shows them.';
    END IF;
    IF retire_model.model_version = active_version() THEN
        RAISE EXCEPTION 'version % is active and cannot be retired', retire_model.model_version
            USING ERRCODE = 'object_in_use', HINT = 'Make another version active first.';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %I', model_partition(retire_model.model_version));
    DELETE FROM neighbour_edges e WHERE e.model_version = retire_model.model_version;
    DELETE FROM duplicate_pairs d WHERE d.model_version = retire_model.model_version;
    DELETE FROM bucket_loads l WHERE l.model_version = retire_model.model_version;
    UPDATE active_model SET previous_version = NULL
    WHERE previous_version = retire_model.model_version;
    UPDATE models SET state = 'retired', segments = 0, retired_at = now()
    WHERE models.model_version = retire_model.model_version AND state <> 'retired';
END $$;


CREATE FUNCTION rebuild_index(model_version integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    index text := model_partition(rebuild_index.model_version) || '_hnsw';
BEGIN
    PERFORM lock_model(rebuild_index.model_version);
    -- Nobody else sees the new name before the end: queries go on by the old index meanwhile.
    IF to_regclass(index) IS NOT NULL THEN
        EXECUTE format('ALTER INDEX %I RENAME TO %I', index, index || '_old');
    END IF;
    PERFORM index_model(rebuild_index.model_version);
    EXECUTE format('DROP INDEX IF EXISTS %I', index || '_old');
    UPDATE models SET deleted = 0 WHERE models.model_version = rebuild_index.model_version;
END $$;

COMMENT ON FUNCTION rebuild_index IS 'Builds a version''s index anew beside the old one, and swaps them; loads wait, queries do not.';


CREATE FUNCTION rollback_model() RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    target integer;
BEGIN
    SELECT a.previous_version INTO target FROM active_model a FOR UPDATE;
    IF target IS NULL THEN
        RAISE EXCEPTION 'there is no version to go back to'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'SELECT * FROM model_overview shows what is loaded: activate one of those.';
    END IF;
    PERFORM activate_model(target);
    RETURN target;
END $$;

COMMENT ON FUNCTION rollback_model IS 'Makes the version that was active before the active one again; which that is. Twice leads back.';


CREATE FUNCTION kept_models(keep integer DEFAULT 2) RETURNS SETOF integer
LANGUAGE sql STABLE AS $$
    SELECT m.model_version
    FROM models m CROSS JOIN active_model a
    WHERE m.state <> 'retired'
      AND (m.model_version <= a.model_version OR m.model_version = a.previous_version)
    ORDER BY m.model_version = a.model_version DESC,
             coalesce(m.model_version = a.previous_version, false) DESC,
             m.model_version DESC
    LIMIT greatest(keep, 1)
$$;

COMMENT ON FUNCTION kept_models IS 'The versions that retire_models keeps: the active one, the one before it, then the newest before those.';


CREATE FUNCTION retire_models(keep integer DEFAULT 2) RETURNS SETOF integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    version integer;
BEGIN
    -- What is newer than the active version may be on its way there.
    FOR version IN
        SELECT m.model_version FROM models m
        WHERE m.state <> 'retired' AND m.model_version < active_version()
          AND m.model_version NOT IN (SELECT kept_models(keep))
        ORDER BY m.model_version
    LOOP
        PERFORM retire_model(version);
        RETURN NEXT version;
    END LOOP;
END $$;

COMMENT ON FUNCTION retire_models IS 'Retires all versions older than the active one but the last few, two unless told; which were retired.';


CREATE OR REPLACE VIEW model_overview AS
SELECT m.model_version, m.name, m.run_id, m.state,
       m.model_version IS NOT DISTINCT FROM active_version() AS active,
       m.segments, m.recall, m.missed, m.queries, m.ef_search, m.p50_ms, m.p95_ms,
       m.created_at, m.loaded_at, m.verified_at, m.retired_at,
       m.deleted, m.neighbours_at
FROM models m
ORDER BY m.model_version;
