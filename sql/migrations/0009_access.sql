-- Who may do what. Four group roles, which logins are made members of:
--   soundalike_owner    owns everything here, and migrates;
--   soundalike_loader   the pipeline: writes tracks and embeddings, indexes, activates, takes down;
--   soundalike_web      the page: reads what search needs;
--   soundalike_analyst  reads views and calls functions, and sees no table.
-- Roles belong to the whole server, hence the long names.

-- Run by every migration as its last step, so that what a migration replaced is covered too.
CREATE FUNCTION grant_access() RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    home   text := current_schema();
    -- Those that act for the owner: what readers ask, and the steps of a version's life.
    asked  text[] := ARRAY['active_version', 'resolve_version', 'similar_tracks',
                           'similar_segments', 'similar_to_vector', 'more_like', 'kept_models'];
    steps  text[] := ARRAY['begin_model', 'begin_bucket_load', 'index_model', 'rebuild_index',
                           'refresh_neighbours', 'activate_model', 'rollback_model',
                           'retire_model', 'retire_models', 'deny_track', 'allow_track',
                           'delete_track_embeddings'];
    before oid;
    item   record;
BEGIN
    FOR item IN SELECT unnest(ARRAY['owner', 'loader', 'web', 'analyst']) AS name LOOP
        CONTINUE WHEN to_regrole('soundalike_' || item.name) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', 'soundalike_' || item.name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another database of this server was quicker
        END;
    END LOOP;
    IF NOT pg_has_role('soundalike_owner', 'MEMBER') THEN
        EXECUTE format('GRANT soundalike_owner TO %I', current_user);
    END IF;
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO soundalike_owner', home);
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO soundalike_loader, soundalike_web, '
                   'soundalike_analyst', home);
    IF has_schema_privilege('soundalike_analyst', home, 'CREATE') THEN  -- the default up to 14
        EXECUTE format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', home);
    END IF;

    -- Whoever migrated up to now hands everything over.
    SELECT c.relowner INTO before FROM pg_class c WHERE c.oid = 'schema_migrations'::regclass;
    FOR item IN
        SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name
        FROM pg_class c
        WHERE c.relnamespace = home::regnamespace AND c.relkind IN ('r', 'p', 'v')
          AND c.relowner = before AND before <> 'soundalike_owner'::regrole
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
        UNION ALL
        SELECT 'TYPE', 'similar_track'
        UNION ALL
        SELECT 'FUNCTION', p.oid::regprocedure::text FROM pg_proc p
        WHERE p.pronamespace = home::regnamespace
          AND p.proowner = before AND before <> 'soundalike_owner'::regrole
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO soundalike_owner', item.kind, item.name);
    END LOOP;

    FOR item IN
        SELECT p.oid::regprocedure::text AS name, p.proname, p.provolatile FROM pg_proc p
        WHERE p.pronamespace = home::regnamespace AND p.proowner = 'soundalike_owner'::regrole
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', item.name);
        IF item.provolatile <> 'v' THEN  -- what cannot write
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO soundalike_loader, soundalike_web, '
                           'soundalike_analyst', item.name);
        ELSIF item.proname = ANY (steps) THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO soundalike_loader', item.name);
        END IF;
        -- The path is pinned: a caller's temporary table must not stand in for one of ours.
        IF item.proname = ANY (asked || steps) THEN
            EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                           item.name, home);
        END IF;
    END LOOP;

    FOR item IN
        SELECT c.oid::regclass::text AS name, c.relkind, c.relispartition FROM pg_class c
        WHERE c.relnamespace = home::regnamespace AND c.relkind IN ('r', 'p', 'v')
          AND c.relowner = 'soundalike_owner'::regrole
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO soundalike_loader', item.name);
        IF item.relkind = 'v' THEN
            EXECUTE format('GRANT SELECT ON %s TO soundalike_web, soundalike_analyst', item.name);
        ELSIF item.relispartition THEN
            EXECUTE format('GRANT INSERT ON %s TO soundalike_loader', item.name);
        END IF;
    END LOOP;
    GRANT INSERT, UPDATE ON tracks TO soundalike_loader;
    GRANT INSERT ON bucket_loads TO soundalike_loader;
    GRANT UPDATE ON models TO soundalike_loader;
    GRANT SELECT ON tracks, models, active_model TO soundalike_web;
    RETURN true;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'the roles of soundalike were not set up: %', SQLERRM
        USING HINT = 'Everything works for the user who migrates. For roles, let a user who may '
                     'create them run `soundalike db roles`.';
    RETURN false;
END $$;

COMMENT ON FUNCTION grant_access IS 'Makes the four roles and gives each what it may do; harmless when repeated. False, with a warning, if the caller may not create roles.';


CREATE FUNCTION add_login(name text, role text, password text, statement_timeout text DEFAULT '60s')
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF role NOT IN ('owner', 'loader', 'web', 'analyst') OR to_regrole('soundalike_' || role) IS NULL
    THEN
        RAISE EXCEPTION 'there is no role %', role USING ERRCODE = 'undefined_object',
            HINT = 'Roles are owner, loader, web and analyst; `soundalike db roles` makes them.';
    END IF;
    EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L IN ROLE %I', name, password,
                   'soundalike_' || role);
    IF role = 'analyst' THEN  -- settings of a group do not pass to its members
        EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', name, statement_timeout);
    END IF;
END $$;

COMMENT ON FUNCTION add_login IS 'Makes a login with one of the four roles; an analyst''s statements end after statement_timeout unless they set another.';
