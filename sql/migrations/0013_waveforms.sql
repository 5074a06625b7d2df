-- What the page draws and plays of a track: its peaks, its loudness, and where its file is.

CREATE TABLE waveforms (
    track_id      text PRIMARY KEY REFERENCES tracks,
    content       text NOT NULL,
    path          text NOT NULL,
    loudness_lufs real,
    peaks         bytea NOT NULL
);

COMMENT ON TABLE waveforms IS 'What is drawn and played of each track; not for analysts, since it leads to the audio.';
COMMENT ON COLUMN waveforms.content IS 'Hash of the file that the peaks were computed from.';
COMMENT ON COLUMN waveforms.path IS 'The original file: a path of the web server''s machine, or a URL that fsspec reads.';
COMMENT ON COLUMN waveforms.loudness_lufs IS 'Integrated loudness by ITU-R BS.1770-4; NULL if every block is gated out.';
COMMENT ON COLUMN waveforms.peaks IS 'Greatest magnitude of each tenth of a second, a byte each, 255 being full scale.';


-- A takedown leaves neither peaks nor a path, whatever comes to be written at the same time.
CREATE FUNCTION forget_waveform() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM waveforms w WHERE w.track_id = NEW.track_id;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION forget_waveform IS 'Trigger of tracks: deletes what is drawn and played of a track that is taken down.';

CREATE TRIGGER forget_waveform AFTER UPDATE OF state ON tracks
FOR EACH ROW WHEN (NEW.state = 'taken_down') EXECUTE FUNCTION forget_waveform();
