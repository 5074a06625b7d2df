-- The loudness of what is played, ten seconds of a track, instead of the whole track's.

ALTER TABLE waveforms ADD COLUMN energies bytea;

COMMENT ON COLUMN waveforms.energies IS 'K-weighted mean square of each tenth of a second (ITU-R BS.1770-4), a byte each: quarters of a decibel above -60 LUFS, 0 being silence. NULL until the pipeline has measured it.';
