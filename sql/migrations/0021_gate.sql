-- The gate on recall stands in the database: no program can pass a version by itself.

CREATE FUNCTION mark_verified(
    model_version integer, recall double precision, missed integer, queries integer,
    ef_search integer, p50_ms double precision, p95_ms double precision, loaded_at timestamptz)
RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    known  models;
    needed bigint;
BEGIN
    PERFORM lock_model(mark_verified.model_version);
    SELECT * INTO known FROM models m WHERE m.model_version = mark_verified.model_version FOR UPDATE;
    needed := least(1000, known.segments);
    -- Only what was measured on these very rows counts.
    IF known.state IS NULL OR known.state NOT IN ('loaded', 'verified')
       OR known.loaded_at IS DISTINCT FROM mark_verified.loaded_at THEN
        RAISE EXCEPTION 'version % changed since its recall was measured', mark_verified.model_version
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Build its index and measure again.';
    ELSIF mark_verified.queries IS NULL OR mark_verified.queries < needed THEN
        RAISE EXCEPTION 'the recall of version % was measured by % queries, and % are needed',
            mark_verified.model_version, coalesce(mark_verified.queries, 0), needed
            USING ERRCODE = 'check_violation', HINT = 'Measure it by more.';
    ELSIF (mark_verified.recall >= 0.98
           AND mark_verified.missed * 1000::bigint < mark_verified.queries) IS NOT TRUE THEN
        RAISE EXCEPTION 'the index of version % is not good enough: recall is % and % of % queries are wholly missed',
            mark_verified.model_version, mark_verified.recall, mark_verified.missed,
            mark_verified.queries
            USING ERRCODE = 'check_violation',
                  HINT = 'Needed are 0.98 and less than one in 1000.';
    END IF;
    UPDATE models m
    SET state = 'verified', verified_at = now(), recall = mark_verified.recall,
        missed = mark_verified.missed, queries = mark_verified.queries,
        ef_search = mark_verified.ef_search, p50_ms = mark_verified.p50_ms,
        p95_ms = mark_verified.p95_ms
    WHERE m.model_version = mark_verified.model_version;
END $$;

COMMENT ON FUNCTION mark_verified IS 'Records the recall that was measured of a version as loaded at a moment, and that it is good, which activation asks for; an error if it is not.';


-- After the other grants, some of which it takes back.
CREATE FUNCTION grant_gate_access() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF to_regrole('soundalike_loader') IS NULL THEN
        RETURN false;
    END IF;
    REVOKE UPDATE ON models FROM soundalike_loader;
    REVOKE INSERT ON bucket_loads FROM soundalike_loader;
    EXECUTE format('ALTER FUNCTION mark_verified SECURITY DEFINER SET search_path = %I, pg_temp',
                   current_schema());
    GRANT EXECUTE ON FUNCTION mark_verified TO soundalike_loader;
    RETURN true;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END $$;

COMMENT ON FUNCTION grant_gate_access IS 'Leaves the role loader the steps of a version''s life as the only way to change what is said of it; harmless when repeated.';


CREATE OR REPLACE FUNCTION grant_access() RETURNS boolean
LANGUAGE sql AS $$
    SELECT CASE WHEN grant_index_access() AND grant_page_access() THEN grant_gate_access()
                ELSE false END
$$;
