-- Tracks, model versions, and one partition of embeddings for each version.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE tracks (
    track_id   text PRIMARY KEY CHECK (track_id <> ''),
    title      text NOT NULL DEFAULT '',
    artist     text NOT NULL DEFAULT '',
    album      text NOT NULL DEFAULT '',
    genres     text[] NOT NULL DEFAULT '{}',
    moods      text[] NOT NULL DEFAULT '{}',
    split      text NOT NULL CHECK (split IN ('train', 'validation', 'test')),
    bucket     smallint NOT NULL CHECK (bucket BETWEEN 0 AND 99),
    digest     text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    duration_s double precision CHECK (duration_s > 0),
    state      text NOT NULL DEFAULT 'served' CHECK (state IN ('served', 'gone', 'taken_down')),
    updated_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE tracks IS 'One row for each track that the catalogue has ever held.';
COMMENT ON COLUMN tracks.track_id IS 'The catalogue''s own id.';
COMMENT ON COLUMN tracks.genres IS 'Genres, possibly none: WHERE ''jazz'' = ANY (genres).';
COMMENT ON COLUMN tracks.moods IS 'Moods, possibly none: WHERE ''calm'' = ANY (moods).';
COMMENT ON COLUMN tracks.split IS 'What models may use the track for: train, validation or test.';
COMMENT ON COLUMN tracks.bucket IS 'First 8 bytes of the digest mod 100: 0-79 train, 80-89 validation, 90-99 test.';
COMMENT ON COLUMN tracks.digest IS 'SHA-256 of the track id, hexadecimal; names the track''s files.';
COMMENT ON COLUMN tracks.duration_s IS 'Length in seconds, where known.';
COMMENT ON COLUMN tracks.state IS 'served: can be found. gone: no longer in the catalogue. taken_down: must never be found again.';
COMMENT ON COLUMN tracks.updated_at IS 'When anything in this row last changed.';

CREATE INDEX tracks_bucket ON tracks (bucket) WHERE state = 'served';

CREATE TABLE models (
    model_version integer PRIMARY KEY CHECK (model_version > 0),
    name          text NOT NULL,
    run_id        text NOT NULL,
    state         text NOT NULL DEFAULT 'loading'
                  CHECK (state IN ('loading', 'loaded', 'verified', 'retired')),
    dimension     smallint NOT NULL DEFAULT 128,
    segments      bigint NOT NULL DEFAULT 0,
    recall        double precision CHECK (recall BETWEEN 0 AND 1),
    missed        integer,
    queries       integer,
    ef_search     integer,
    p50_ms        double precision,
    p95_ms        double precision,
    created_at    timestamptz NOT NULL DEFAULT now(),
    loaded_at     timestamptz,
    verified_at   timestamptz,
    retired_at    timestamptz,
    CONSTRAINT verified_has_recall CHECK (state <> 'verified' OR recall IS NOT NULL)
);

COMMENT ON TABLE models IS 'One row for each model version whose embeddings were ever loaded.';
COMMENT ON COLUMN models.model_version IS 'The model registry''s version number.';
COMMENT ON COLUMN models.run_id IS 'The training run in MLflow.';
COMMENT ON COLUMN models.state IS 'loading: rows are changing. loaded: complete and indexed. verified: recall measured and good. retired: rows dropped.';
COMMENT ON COLUMN models.segments IS 'Rows in this version when it was last complete.';
COMMENT ON COLUMN models.recall IS 'Share of the ten true nearest segments that the index finds, over a sample.';
COMMENT ON COLUMN models.missed IS 'Queries of the sample whose ten neighbours were all missed.';
COMMENT ON COLUMN models.queries IS 'Size of the sample.';
COMMENT ON COLUMN models.ef_search IS 'hnsw.ef_search that the recall was measured with.';
COMMENT ON COLUMN models.p50_ms IS 'Median time of a query in the sample, milliseconds.';
COMMENT ON COLUMN models.p95_ms IS '95th percentile of the same.';

CREATE TABLE active_model (
    singleton        boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    model_version    integer NOT NULL REFERENCES models,
    previous_version integer REFERENCES models,
    activated_at     timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE active_model IS 'At most one row: the model version that every query uses.';
COMMENT ON COLUMN active_model.previous_version IS 'What was active before: where a rollback goes.';

CREATE TABLE embeddings (
    model_version integer NOT NULL,
    track_id      text NOT NULL,
    bucket        smallint NOT NULL,
    start_ms      integer NOT NULL,
    end_ms        integer NOT NULL,
    embedding     vector(128) NOT NULL,
    PRIMARY KEY (model_version, track_id, start_ms),
    CONSTRAINT segment_has_a_length CHECK (start_ms >= 0 AND end_ms > start_ms),
    -- Refuses zero, unnormalised and infinite vectors; NaN is no vector to begin with.
    CONSTRAINT embedding_has_norm_1 CHECK (abs(vector_norm(embedding) - 1) < 1e-3)
) PARTITION BY LIST (model_version);

COMMENT ON TABLE embeddings IS 'Unit vectors of segments of tracks, one partition for each model version. Vectors of different versions cannot be compared.';
COMMENT ON COLUMN embeddings.start_ms IS 'Where the segment starts in the track, milliseconds.';
COMMENT ON COLUMN embeddings.end_ms IS 'Where it ends.';
COMMENT ON COLUMN embeddings.embedding IS 'Compare by <-> (Euclidean distance, 0 to 2).';

CREATE TABLE bucket_loads (
    model_version integer NOT NULL REFERENCES models,
    bucket        smallint NOT NULL CHECK (bucket BETWEEN 0 AND 99),
    fingerprint   text NOT NULL,
    segments      bigint NOT NULL,
    loaded_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model_version, bucket)
);

COMMENT ON TABLE bucket_loads IS 'Which buckets a version holds, and from what: written with the rows, in one transaction.';
COMMENT ON COLUMN bucket_loads.fingerprint IS 'Of what was embedded; the pipeline skips a bucket whose fingerprint is the same.';

COMMENT ON TABLE schema_migrations IS 'Which numbered migrations this database has, with the checksums of their files.';
