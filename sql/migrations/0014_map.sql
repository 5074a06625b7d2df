-- The catalogue as a map: a point for each track of a version.

ALTER TABLE models ADD COLUMN mapped_at timestamptz;
ALTER TABLE models ADD COLUMN trustworthiness double precision;

COMMENT ON COLUMN models.mapped_at IS 'When the version''s map was computed last.';
COMMENT ON COLUMN models.trustworthiness IS 'How far neighbours on the map are neighbours in truth, 0 to 1; NULL where there are too few tracks.';


CREATE TABLE map_points (
    model_version integer NOT NULL REFERENCES models,
    track_id      text NOT NULL REFERENCES tracks,
    x             real NOT NULL CHECK (x BETWEEN 0 AND 1),
    y             real NOT NULL CHECK (y BETWEEN 0 AND 1),
    PRIMARY KEY (model_version, track_id)
);

COMMENT ON TABLE map_points IS 'Where each track lies on the map of a version: near tracks sound alike, the axes mean nothing.';


-- The mean vector of every served track of a version; no rows if its map is still right.
CREATE FUNCTION unmapped_vectors(model_version integer)
RETURNS TABLE (track_id text, vector vector)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (SELECT FROM models m WHERE m.model_version = unmapped_vectors.model_version
                                      AND m.mapped_at >= m.loaded_at) THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format(
        'SELECT e.track_id, l2_normalize(avg(e.embedding)) FROM %I e
         JOIN tracks t ON t.track_id = e.track_id
         WHERE t.state = ''served'' GROUP BY e.track_id ORDER BY e.track_id',
        model_partition(unmapped_vectors.model_version));
END $$;

COMMENT ON FUNCTION unmapped_vectors IS 'The mean vectors to make a version''s map from, none if nothing was loaded since it was made.';


CREATE FUNCTION replace_map(
    model_version integer, track_ids text[], x real[], y real[], trustworthiness double precision)
RETURNS void
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM lock_model(replace_map.model_version);
    DELETE FROM map_points p WHERE p.model_version = replace_map.model_version;
    INSERT INTO map_points
    SELECT replace_map.model_version, n.track_id, n.x, n.y
    FROM unnest(track_ids, replace_map.x, replace_map.y) AS n (track_id, x, y);
    UPDATE models m SET mapped_at = now(), trustworthiness = replace_map.trustworthiness
    WHERE m.model_version = replace_map.model_version;
END $$;

COMMENT ON FUNCTION replace_map IS 'Puts a version''s map in place, whole.';


CREATE FUNCTION forget_map() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM map_points p WHERE p.model_version = NEW.model_version;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION forget_map IS 'Trigger of models: a version that is retired, or begun anew, has no map.';

CREATE TRIGGER forget_map AFTER UPDATE OF state ON models
FOR EACH ROW WHEN (NEW.state = 'retired') EXECUTE FUNCTION forget_map();
