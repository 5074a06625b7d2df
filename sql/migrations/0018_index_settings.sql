-- How a graph is built: by settings, and from as much memory as the machine can spare.

CREATE FUNCTION index_parameter(name text, fallback integer) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('soundalike.hnsw_' || name, true), ''),
                fallback::text)::integer;

COMMENT ON FUNCTION index_parameter IS 'A parameter of the next HNSW index, m or ef_construction: the setting soundalike.hnsw_m or soundalike.hnsw_ef_construction (ALTER DATABASE ... SET), or what it is without.';


-- As before, but built with more care: with ef_construction = 128, five of 4,800 queries were
-- wholly missed, and none with 256 (docs/search.md).
CREATE OR REPLACE FUNCTION index_model(model_version integer) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part    text := model_partition(index_model.model_version);
    index   text := part || '_hnsw';
    total   bigint;
    members bigint;
    built   boolean := false;
BEGIN
    PERFORM lock_model(index_model.model_version);
    IF to_regclass(part) IS NULL THEN
        RAISE EXCEPTION 'version % has no embeddings', index_model.model_version
            USING ERRCODE = 'undefined_table', HINT = 'Load it first.';
    END IF;
    EXECUTE format('LOCK TABLE %I IN SHARE MODE', part);  -- no loads between count and state
    EXECUTE format('SELECT count(*), count(DISTINCT track_id) FROM %I', part) INTO total, members;
    IF to_regclass(index) IS NULL THEN
        -- A graph that does not fit into this memory takes 2.6 times as long: about 1.4 kB a row.
        -- Half of effective_cache_size, in pages of 8 kB, is a quarter of the embedded server's
        -- machine.
        PERFORM set_config('maintenance_work_mem', greatest(own.setting::bigint,
                               least(cache.setting::bigint * 4, total * 14 / 10))::text || 'kB', true)
        FROM pg_settings own, pg_settings cache
        WHERE own.name = 'maintenance_work_mem' AND cache.name = 'effective_cache_size';
        EXECUTE format('CREATE INDEX %I ON %I USING hnsw (embedding vector_l2_ops)
                        WITH (m = %s, ef_construction = %s)', index, part,
                       index_parameter('m', 24), index_parameter('ef_construction', 256));
        built := true;
    END IF;
    EXECUTE format('ANALYZE %I', part);
    UPDATE models SET state = 'loaded', segments = total, tracks = members, loaded_at = now(),
                      recall = NULL, verified_at = NULL
    WHERE models.model_version = index_model.model_version AND state = 'loading';
    RETURN built;
END $$;
