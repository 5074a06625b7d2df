-- The life of a model version: begun, loaded, indexed, verified, active, retired.
-- Each function is one step, and harmless when repeated.

CREATE FUNCTION model_partition(model_version integer) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN 'embeddings_v' || model_version;

COMMENT ON FUNCTION model_partition IS 'Name of the table that holds a version''s embeddings.';


CREATE FUNCTION active_version() RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT a.model_version FROM active_model a);

COMMENT ON FUNCTION active_version IS 'The model version that queries use, or NULL before the first activation.';


-- Serialises the steps of one version until the transaction ends.
CREATE FUNCTION lock_model(model_version integer) RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    SELECT pg_advisory_xact_lock(hashtext('soundalike model'), model_version);
END;

COMMENT ON FUNCTION lock_model IS 'Waits until no other step of this version is under way.';


CREATE FUNCTION begin_model(model_version integer, name text, run_id text) RETURNS void
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
            created_at = now(), retired_at = NULL;
    -- Made beside and attached: unlike PARTITION OF, this does not wait for readers.
    EXECUTE format('CREATE TABLE %I (LIKE embeddings INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE embeddings ATTACH PARTITION %I FOR VALUES IN (%s)',
                   part, begin_model.model_version);
END $$;

COMMENT ON FUNCTION begin_model IS 'Makes room for a version: its row in models and its partition.';


CREATE FUNCTION begin_bucket_load(model_version integer, bucket integer, track_ids text[])
RETURNS text
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part     text := model_partition(begin_bucket_load.model_version);
    status   text;
    stranger text;
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

COMMENT ON FUNCTION begin_bucket_load IS 'Empties a bucket of a version for new rows in the same transaction; the name of the table to copy them into.';


CREATE FUNCTION index_model(model_version integer) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part  text := model_partition(index_model.model_version);
    index text := part || '_hnsw';
    total bigint;
    built boolean := false;
BEGIN
    PERFORM lock_model(index_model.model_version);
    IF to_regclass(part) IS NULL THEN
        RAISE EXCEPTION 'version % has no embeddings', index_model.model_version
            USING ERRCODE = 'undefined_table', HINT = 'Load it first.';
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', part);  -- no loads between count and state
    EXECUTE format('SELECT count(*) FROM %I', part) INTO total;
    IF to_regclass(index) IS NULL THEN
        -- A graph that does not fit into this memory takes 2.6 times as long: about 1.2 kB a row.
        PERFORM set_config('maintenance_work_mem', greatest(s.setting::bigint,
                               least(1048576, total * 12 / 10))::text || 'kB', true)
        FROM pg_settings s WHERE s.name = 'maintenance_work_mem';
        EXECUTE format('CREATE INDEX %I ON %I USING hnsw (embedding vector_l2_ops)
                        WITH (m = 16, ef_construction = 128)', index, part);
        built := true;
    END IF;
    EXECUTE format('ANALYZE %I', part);
    UPDATE models SET state = 'loaded', segments = total, loaded_at = now(),
                      recall = NULL, verified_at = NULL
    WHERE models.model_version = index_model.model_version AND state = 'loading';
    RETURN built;
END $$;

COMMENT ON FUNCTION index_model IS 'Builds the HNSW index after the load, unless it is there; true if it was built.';


CREATE FUNCTION activate_model(model_version integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part    text := model_partition(activate_model.model_version);
    status   text;
    lacking text;
BEGIN
    PERFORM lock_model(activate_model.model_version);
    SELECT m.state INTO status FROM models m
    WHERE m.model_version = activate_model.model_version FOR UPDATE;
    IF status IS DISTINCT FROM 'verified' THEN
        RAISE EXCEPTION 'version % cannot be made active: it is %, not verified',
            activate_model.model_version, coalesce(status, 'unknown')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Load it, build its index and have its recall checked.';
    END IF;
    SELECT string_agg(DISTINCT t.bucket::text, ', ') INTO lacking FROM tracks t
    WHERE t.state = 'served' AND NOT EXISTS (
        SELECT FROM bucket_loads l
        WHERE l.model_version = activate_model.model_version AND l.bucket = t.bucket);
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION 'version % cannot be made active: buckets % are not loaded',
            activate_model.model_version, lacking
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Load those buckets.';
    END IF;
    IF to_regclass(part || '_hnsw') IS NULL THEN
        RAISE EXCEPTION 'version % cannot be made active: it has no index',
            activate_model.model_version
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Build its index.';
    END IF;
    INSERT INTO active_model (model_version) VALUES (activate_model.model_version)
    ON CONFLICT (singleton) DO UPDATE
        SET model_version = excluded.model_version,
            previous_version = active_model.model_version, activated_at = now()
        WHERE active_model.model_version <> excluded.model_version;
END $$;

COMMENT ON FUNCTION activate_model IS 'Makes a verified version the one that every query uses.';


CREATE FUNCTION retire_model(model_version integer) RETURNS void
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
    DELETE FROM bucket_loads l WHERE l.model_version = retire_model.model_version;
    UPDATE active_model SET previous_version = NULL
    WHERE previous_version = retire_model.model_version;
    UPDATE models SET state = 'retired', segments = 0, retired_at = now()
    WHERE models.model_version = retire_model.model_version AND state <> 'retired';
END $$;

COMMENT ON FUNCTION retire_model IS 'Drops the embeddings of a version that is not active; its row in models stays.';


CREATE VIEW model_overview AS
SELECT m.model_version, m.name, m.run_id, m.state,
       m.model_version IS NOT DISTINCT FROM active_version() AS active,
       m.segments, m.recall, m.missed, m.queries, m.ef_search, m.p50_ms, m.p95_ms,
       m.created_at, m.loaded_at, m.verified_at, m.retired_at
FROM models m
ORDER BY m.model_version;

COMMENT ON VIEW model_overview IS 'Every model version, with its state, size and measured recall.';
