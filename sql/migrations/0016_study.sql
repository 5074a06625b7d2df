-- The listening study: what raters heard, in which order, from which system, and what they said.

CREATE TABLE studies (
    study_id   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL CHECK (btrim(name) <> ''),
    raters     integer NOT NULL CHECK (raters BETWEEN 1 AND 1000),
    queries    integer NOT NULL CHECK (queries BETWEEN 1 AND 100),
    results    integer NOT NULL CHECK (results BETWEEN 1 AND 20),
    systems    text[] NOT NULL CHECK (cardinality(systems) > 0),
    seed       bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE studies IS 'Listening studies: so many raters each choose so many queries, and hear so many results of each system.';
COMMENT ON COLUMN studies.seed IS 'Of random results and of their order: the same query has the same items for every rater.';


CREATE TABLE study_queries (
    query_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    study_id      uuid NOT NULL REFERENCES studies ON DELETE CASCADE,
    rater         text NOT NULL CHECK (btrim(rater) <> ''),
    track_id      text,
    start_ms      integer NOT NULL,
    end_ms        integer NOT NULL CHECK (end_ms > start_ms),
    gain_db       real NOT NULL,
    model_version integer NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX study_queries_rater ON study_queries (study_id, rater);

COMMENT ON TABLE study_queries IS 'What raters chose to search by.';
COMMENT ON COLUMN study_queries.track_id IS 'NULL for a file of the rater''s own, which was not kept.';
COMMENT ON COLUMN study_queries.model_version IS 'The production version that answered.';


CREATE TABLE study_items (
    item_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    query_id uuid NOT NULL REFERENCES study_queries ON DELETE CASCADE,
    position integer NOT NULL CHECK (position > 0),
    track_id text NOT NULL,
    start_ms integer NOT NULL,
    end_ms   integer NOT NULL CHECK (end_ms > start_ms),
    gain_db  real NOT NULL,
    systems  text[] NOT NULL,
    planted  text CHECK (planted IN ('query', 'random')),
    UNIQUE (query_id, position)
);

COMMENT ON TABLE study_items IS 'What a rater hears, in this order, without knowing from where.';
COMMENT ON COLUMN study_items.systems IS 'Those that gave it, several if they agree; none for what was planted.';
COMMENT ON COLUMN study_items.planted IS 'A check of attention: the query itself, or a track at random.';
COMMENT ON COLUMN study_items.gain_db IS 'By which it is played softer, so that all of a query are equally loud.';


CREATE TABLE study_ratings (
    item_id  uuid NOT NULL REFERENCES study_items ON DELETE CASCADE,
    rater    text NOT NULL CHECK (btrim(rater) <> ''),
    rating   double precision NOT NULL CHECK (rating BETWEEN 0 AND 10),
    comment  text NOT NULL DEFAULT '',
    rated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (item_id, rater)
);

COMMENT ON TABLE study_ratings IS 'How similar to the query a rater found an item, 0 to 10.';


CREATE VIEW study_results AS
SELECT s.study_id, s.name AS study, q.query_id, r.rater, i.position,
       q.track_id AS query_track_id, q.start_ms AS query_start_ms, q.end_ms AS query_end_ms,
       i.track_id, i.start_ms, i.end_ms, i.systems, i.planted, q.model_version,
       r.rating, r.comment, r.rated_at
FROM studies s
JOIN study_queries q ON q.study_id = s.study_id
JOIN study_items i ON i.query_id = q.query_id
JOIN study_ratings r ON r.item_id = i.item_id
ORDER BY s.created_at, r.rater, q.created_at, i.position;

COMMENT ON VIEW study_results IS 'Every rating of every listening study, one a row: what was heard after what, from which systems, in which order.';
COMMENT ON COLUMN study_results.systems IS 'The systems that gave the item; WHERE ''production'' = ANY (systems) AND planted IS NULL.';


-- What the page and the pipeline may do with the tables of the page and of studies. Without the
-- roles there is nothing to grant.
CREATE FUNCTION grant_page_access() RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF to_regrole('soundalike_web') IS NULL THEN
        RETURN false;
    END IF;
    GRANT SELECT ON waveforms, map_points TO soundalike_web;
    GRANT INSERT, UPDATE, DELETE ON waveforms TO soundalike_loader;
    GRANT EXECUTE ON FUNCTION replace_map TO soundalike_loader;
    -- What gives vectors, or leads to them, is not for analysts.
    REVOKE EXECUTE ON FUNCTION region_vector, examples_vector, search_page, unmapped_vectors
        FROM soundalike_analyst;
    REVOKE EXECUTE ON FUNCTION unmapped_vectors FROM soundalike_web;
    GRANT SELECT, INSERT ON studies, study_queries, study_items TO soundalike_web;
    GRANT SELECT, INSERT, UPDATE ON study_ratings TO soundalike_web;
    RETURN true;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END $$;

COMMENT ON FUNCTION grant_page_access IS 'Gives the roles web and loader what the page and studies need; harmless when repeated.';


ALTER FUNCTION grant_access() RENAME TO grant_index_access;

CREATE FUNCTION grant_access() RETURNS boolean
LANGUAGE sql AS $$
    SELECT CASE WHEN grant_index_access() THEN grant_page_access() ELSE false END
$$;

COMMENT ON FUNCTION grant_index_access IS 'Makes the four roles and gives each what it may do with the index; harmless when repeated. False, with a warning, if the caller may not create roles.';
COMMENT ON FUNCTION grant_access IS 'Makes the four roles and gives each what it may do; harmless when repeated. False, with a warning, if the caller may not create roles.';
