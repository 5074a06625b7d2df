-- How good a version was found to be, where analysts can read it.

ALTER TABLE models ADD COLUMN metrics jsonb NOT NULL DEFAULT '{}'
    CHECK (jsonb_typeof(metrics) = 'object');

COMMENT ON COLUMN models.metrics IS 'Mean average precision on test tracks when the version went to production, by annotation and protocol: {"genre": {"paper": 0.64, "xt": 0.44, ...}, ...}; {} if it was not evaluated.';


CREATE FUNCTION record_metrics(model_version integer, metrics jsonb) RETURNS void
LANGUAGE sql AS $$
    UPDATE models m SET metrics = record_metrics.metrics
    WHERE m.model_version = record_metrics.model_version
      AND m.metrics IS DISTINCT FROM record_metrics.metrics
$$;

COMMENT ON FUNCTION record_metrics IS 'Notes how good a version was found to be; does nothing if it is known.';


CREATE OR REPLACE VIEW model_overview AS
SELECT m.model_version, m.name, m.run_id, m.state,
       m.model_version IS NOT DISTINCT FROM active_version() AS active,
       m.segments, m.recall, m.missed, m.queries, m.ef_search, m.p50_ms, m.p95_ms,
       m.created_at, m.loaded_at, m.verified_at, m.retired_at,
       m.deleted, m.neighbours_at, m.metrics
FROM models m
ORDER BY m.model_version;

COMMENT ON COLUMN model_overview.metrics IS 'Mean average precision on test tracks when the version went to production, by annotation and protocol; {} if it was not evaluated.';


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
    FOREACH name IN ARRAY ARRAY['mark_verified', 'record_load', 'record_metrics'] LOOP
        EXECUTE format('ALTER FUNCTION %I SECURITY DEFINER SET search_path = %I, pg_temp',
                       name, current_schema());
        EXECUTE format('GRANT EXECUTE ON FUNCTION %I TO soundalike_loader', name);
    END LOOP;
    RETURN true;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END $$;
