-- What readers must make way for asks for its lock in short attempts: a request that waits behind
-- one slow reader holds up every search that comes after it.

CREATE FUNCTION execute_between_readers(statement text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    before text := current_setting('lock_timeout');
BEGIN
    FOR attempt IN 1..100 LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '2s', true);
            EXECUTE statement;
            PERFORM set_config('lock_timeout', before, true);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(1);  -- those who queued up meanwhile go first
        END;
    END LOOP;
    RAISE EXCEPTION 'a reader held its transaction open for minutes: % was given up', statement
        USING ERRCODE = 'lock_not_available',
              HINT = 'SELECT * FROM pg_stat_activity shows it, by its xact_start: end it, and repeat this.';
END $$;

COMMENT ON FUNCTION execute_between_readers IS 'Executes a statement that readers must make way for: waits for them two seconds at a time, a hundred times.';


CREATE OR REPLACE FUNCTION rebuild_index(model_version integer) RETURNS void
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
    PERFORM execute_between_readers(format('DROP INDEX IF EXISTS %I', index || '_old'));
    UPDATE models SET deleted = 0 WHERE models.model_version = rebuild_index.model_version;
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
    DELETE FROM neighbour_edges e WHERE e.model_version = retire_model.model_version;
    DELETE FROM duplicate_pairs d WHERE d.model_version = retire_model.model_version;
    DELETE FROM bucket_loads l WHERE l.model_version = retire_model.model_version;
    -- Late: what it locks is everyone's, and let go when the transaction ends.
    PERFORM execute_between_readers(
        format('DROP TABLE IF EXISTS %I', model_partition(retire_model.model_version)));
    UPDATE active_model SET previous_version = NULL
    WHERE previous_version = retire_model.model_version;
    UPDATE models SET state = 'retired', segments = 0, retired_at = now()
    WHERE models.model_version = retire_model.model_version AND state <> 'retired';
END $$;
