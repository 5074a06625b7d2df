-- What was loaded, when: a row for each load of a bucket, written with its rows, and kept.

CREATE TABLE load_runs (
    load_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_version integer NOT NULL REFERENCES models,
    bucket        smallint NOT NULL CHECK (bucket BETWEEN 0 AND 99),
    tracks        integer NOT NULL CHECK (tracks >= 0),
    segments      bigint NOT NULL CHECK (segments >= 0),
    started_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE load_runs IS 'One row for each load of a bucket of a version that was not undone; rows are only ever added.';


CREATE FUNCTION record_load(model_version integer, bucket integer, tracks integer, segments bigint)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO load_runs (model_version, bucket, tracks, segments)
    VALUES (record_load.model_version, record_load.bucket, record_load.tracks,
            record_load.segments)
$$;

COMMENT ON FUNCTION record_load IS 'Notes, in the transaction of a load, what it brought.';


CREATE FUNCTION keep_load_runs() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'load_runs is a record: rows are only added'
        USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;

COMMENT ON FUNCTION keep_load_runs IS 'Trigger of load_runs: refuses changes of what was recorded.';

CREATE TRIGGER keep_load_runs BEFORE UPDATE OR DELETE OR TRUNCATE ON load_runs
FOR EACH STATEMENT EXECUTE FUNCTION keep_load_runs();


CREATE VIEW loads AS
SELECT l.model_version, l.bucket, l.tracks, l.segments, l.started_at, l.ended_at
FROM load_runs l
ORDER BY l.load_id;

COMMENT ON VIEW loads IS 'Every load of a bucket of every version, in order.';
COMMENT ON COLUMN loads.model_version IS 'The model version that was loaded.';
COMMENT ON COLUMN loads.bucket IS 'Which hundredth of the catalogue, 0 to 99.';
COMMENT ON COLUMN loads.tracks IS 'Tracks that were new or had changed.';
COMMENT ON COLUMN loads.segments IS 'Their segments: the rows that were written.';
COMMENT ON COLUMN loads.started_at IS 'When the load''s transaction began.';
COMMENT ON COLUMN loads.ended_at IS 'When its last row was written.';


CREATE OR REPLACE FUNCTION grant_gate_access() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    IF to_regrole('soundalike_loader') IS NULL THEN
        RETURN false;
    END IF;
    REVOKE UPDATE ON models FROM soundalike_loader;
    REVOKE INSERT ON bucket_loads FROM soundalike_loader;
    FOREACH name IN ARRAY ARRAY['mark_verified', 'record_load'] LOOP
        EXECUTE format('ALTER FUNCTION %I SECURITY DEFINER SET search_path = %I, pg_temp',
                       name, current_schema());
        EXECUTE format('GRANT EXECUTE ON FUNCTION %I TO soundalike_loader', name);
    END LOOP;
    RETURN true;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END $$;
