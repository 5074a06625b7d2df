/** What one can search by: a track of the catalogue, or a sound of one's own. */

import { audioUrl, getPeaks, getTrack, Problem } from "./api.js";
import { findLoudest, USUAL_MS } from "./region.js";
import { cut, decode, durationMs, estimateLoudness, findPeaks } from "./signal.js";

const MOST_BYTES = 20_000_000;
const MOST_MS = 15 * 60_000;
const TAKEN = /\.(wav|flac|mp3|ogg|oga)$/i;

/**
 * @typedef {Object} Source
 * @property {"track"|"file"} kind
 * @property {string} title
 * @property {string} artist
 * @property {string} url Where it is played from.
 * @property {number} durationMs
 * @property {ArrayLike<number>} peaks
 * @property {{startMs: number, endMs: number}} excerpt What is searched by where nobody chose.
 * @property {number} lufs Of the excerpt, until the server has heard another part.
 */

const BEGINNING = { start_ms: 0, end_ms: USUAL_MS };

/** Take a track of the catalogue; one whose waveform is not there yet is flat. */
export async function fromTrack(trackId) {
  const drawn = getPeaks(trackId).catch(() => null);
  const [track, waveform] = await Promise.all([getTrack(trackId), drawn]);
  const { start_ms: startMs, end_ms: endMs, loudness_lufs: lufs } = waveform?.excerpt ?? BEGINNING;
  return {
    kind: "track",
    trackId,
    title: track.title || trackId,
    artist: track.artist,
    url: audioUrl(trackId),
    durationMs: waveform?.duration_ms ?? track.duration_ms,
    peaks: waveform?.peaks ?? [0],
    excerpt: { startMs, endMs },
    lufs: lufs ?? track.loudness_lufs,
  };
}

/** Take a file: it is decoded here to be seen, and sent as it is to be heard. */
export async function fromFile(file) {
  let samples;
  try {
    samples = await decode(file);
  } catch (error) {
    throw new Problem(error.message);
  }
  if (!samples.length) throw new Problem(`${file.name} has no sound in it: choose another file.`);
  const peaks = findPeaks(samples);
  const excerpt = findLoudest(peaks, durationMs(samples));
  return {
    kind: "file",
    file,
    samples,
    title: file.name.replace(/\.[^.]+$/, ""),
    artist: "Your file",
    url: URL.createObjectURL(file),
    durationMs: durationMs(samples),
    peaks,
    excerpt,
    lufs: estimateLoudness(samples, excerpt),
  };
}

/** Let go of what a source holds in memory. */
export function release(source) {
  if (source?.kind === "file") URL.revokeObjectURL(source.url);
}

/**
 * Prepare what is sent of a file: itself, or where the server would refuse it the chosen part alone.
 * @returns {{file: Blob, region: {start_ms: number, end_ms: number}}}
 */
export function prepare({ file, samples, durationMs: length }, region) {
  if (file.size <= MOST_BYTES && length <= MOST_MS && TAKEN.test(file.name)) {
    return { file, region: { start_ms: region.startMs, end_ms: region.endMs } };
  }
  const part = { start_ms: 0, end_ms: region.endMs - region.startMs };
  return { file: cut(samples, region), region: part };
}
