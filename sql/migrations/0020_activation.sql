-- A version becomes active when it holds every served track; going back asks for less, since the
-- version before may have missed what came later. Both take their locks in one order.

CREATE FUNCTION lock_activation() RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    SELECT pg_advisory_xact_lock(hashtext('soundalike activation'));
END;

COMMENT ON FUNCTION lock_activation IS 'Waits until no other change of the active version is under way.';


CREATE FUNCTION make_active(model_version integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    status text;
BEGIN
    PERFORM lock_model(make_active.model_version);
    SELECT m.state INTO status FROM models m
    WHERE m.model_version = make_active.model_version FOR UPDATE;
    IF status IS DISTINCT FROM 'verified' THEN
        RAISE EXCEPTION 'version % cannot be made active: it is %, not verified',
            make_active.model_version, coalesce(status, 'unknown')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Load it, build its index and have its recall checked.';
    END IF;
    IF to_regclass(model_partition(make_active.model_version) || '_hnsw') IS NULL THEN
        RAISE EXCEPTION 'version % cannot be made active: it has no index',
            make_active.model_version
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Build its index.';
    END IF;
    INSERT INTO active_model (model_version) VALUES (make_active.model_version)
    ON CONFLICT (singleton) DO UPDATE
        SET model_version = excluded.model_version,
            previous_version = active_model.model_version, activated_at = now()
        WHERE active_model.model_version <> excluded.model_version;
END $$;

COMMENT ON FUNCTION make_active IS 'Makes a verified and indexed version the active one, whether it holds every track or not.';


CREATE OR REPLACE FUNCTION activate_model(model_version integer) RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    lacking bigint;
    buckets text;
BEGIN
    PERFORM lock_activation();
    PERFORM lock_model(activate_model.model_version);
    WITH loaded AS (
        SELECT l.bucket, f.track_id
        FROM bucket_loads l CROSS JOIN LATERAL jsonb_object_keys(l.fingerprints) AS f (track_id)
        WHERE l.model_version = activate_model.model_version
    )
    SELECT count(*), string_agg(DISTINCT t.bucket::text, ', ') INTO lacking, buckets
    FROM tracks t
    WHERE t.state = 'served' AND NOT EXISTS (
        SELECT FROM loaded l WHERE l.bucket = t.bucket AND l.track_id = t.track_id);
    IF lacking > 0 AND EXISTS (SELECT FROM models m WHERE m.state = 'verified'
                               AND m.model_version = activate_model.model_version) THEN
        RAISE EXCEPTION 'version % cannot be made active: % served tracks are not loaded, of buckets %',
            activate_model.model_version, lacking, buckets
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Run the pipeline under that version, or go back by a rollback.';
    END IF;
    PERFORM make_active(activate_model.model_version);
END $$;

COMMENT ON FUNCTION activate_model IS 'Makes a verified version that holds every served track the one that every query uses.';


CREATE OR REPLACE FUNCTION rollback_model() RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    target integer;
BEGIN
    PERFORM lock_activation();
    SELECT a.previous_version INTO target FROM active_model a;
    IF target IS NULL THEN
        RAISE EXCEPTION 'there is no version to go back to'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'SELECT * FROM model_overview shows what is loaded: activate one of those.';
    END IF;
    PERFORM make_active(target);
    RETURN target;
END $$;
