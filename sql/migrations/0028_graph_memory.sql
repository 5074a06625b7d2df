-- Memory for the graph was reckoned as 1.4 KiB a row, of which processes that build together keep
-- 3 MB for themselves; alone, a row takes almost 1.6. The last rows were linked on disk, one by one.

-- As before, but with room for the whole graph, whatever its m.
CREATE OR REPLACE FUNCTION index_model(model_version integer) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    part    text := model_partition(index_model.model_version);
    index   text := part || '_hnsw';
    shuffle text := part || '_shuffle';
    links   integer := index_parameter('m', 24);
    -- Of a row in memory: the vector and what goes with it, and twice `links` of 16 bytes with
    -- those of the floors above; generous, since what is not needed is not taken.
    bytes   bigint := 900 + 34 * links;
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
        -- A graph that does not fit into this memory takes 2.6 times as long. At most half of
        -- effective_cache_size, in pages of 8 kB: a quarter of the embedded server's machine.
        PERFORM set_config('maintenance_work_mem', greatest(own.setting::bigint,
                               least(cache.setting::bigint * 4, 4096 + total * bytes / 1024))::text
                               || 'kB', true)
        FROM pg_settings own, pg_settings cache
        WHERE own.name = 'maintenance_work_mem' AND cache.name = 'effective_cache_size';
        IF EXISTS (SELECT FROM models m WHERE m.model_version = index_model.model_version
                   AND m.state = 'loading') THEN
            EXECUTE format('CREATE INDEX %I ON %I (hashtextextended(track_id, start_ms))',
                           shuffle, part);
            PERFORM execute_between_readers(format('CLUSTER %I USING %I', part, shuffle));
            EXECUTE format('DROP INDEX %I', shuffle);
        END IF;
        EXECUTE format('CREATE INDEX %I ON %I USING hnsw (embedding vector_l2_ops)
                        WITH (m = %s, ef_construction = %s)', index, part,
                       links, index_parameter('ef_construction', 256));
        built := true;
    END IF;
    EXECUTE format('ANALYZE %I', part);
    UPDATE models SET state = 'loaded', segments = total, tracks = members, loaded_at = now(),
                      recall = NULL, verified_at = NULL
    WHERE models.model_version = index_model.model_version AND state = 'loading';
    RETURN built;
END $$;
