-- Only a version that was loaded to its end answers.

CREATE OR REPLACE FUNCTION resolve_version(model_version integer) RETURNS integer
LANGUAGE plpgsql STABLE AS $$
DECLARE
    version integer := coalesce(resolve_version.model_version,
                                (SELECT a.model_version FROM active_model a));
BEGIN
    IF version IS NULL THEN
        RAISE EXCEPTION 'no model is active yet'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Run the pipeline (make pipeline) to its end.';
    -- A version that was complete goes on answering while some of its buckets are replaced.
    ELSIF NOT EXISTS (SELECT FROM models m WHERE m.model_version = version
                                             AND m.loaded_at IS NOT NULL AND m.state <> 'retired')
    THEN
        RAISE EXCEPTION 'model version % is not loaded', version
            USING ERRCODE = 'undefined_table', HINT = 'SELECT * FROM model_overview shows them.';
    END IF;
    RETURN version;
END $$;


-- As before, but what is revived is not loaded, and nothing was measured of it.
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
            created_at = now(), retired_at = NULL, loaded_at = NULL, verified_at = NULL,
            recall = NULL, missed = NULL, queries = NULL, ef_search = NULL, p50_ms = NULL,
            p95_ms = NULL, neighbours_at = NULL, mapped_at = NULL, tracks = 0, deleted = 0;
    -- Made beside and attached: unlike PARTITION OF, this does not wait for readers.
    EXECUTE format('CREATE TABLE %I (LIKE embeddings INCLUDING ALL)', part);
    EXECUTE format('ALTER TABLE embeddings ATTACH PARTITION %I FOR VALUES IN (%s)',
                   part, begin_model.model_version);
    IF to_regrole('soundalike_loader') IS NOT NULL THEN
        EXECUTE format('GRANT SELECT, INSERT ON %I TO soundalike_loader', part);
    END IF;
END $$;

-- What was revived, and never loaded to its end since, says when it was loaded before.
UPDATE models SET loaded_at = NULL, recall = NULL, verified_at = NULL
WHERE state = 'loading' AND loaded_at < created_at;
