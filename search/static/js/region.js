/** The part of a track that is searched by: at least 2 s, at most 60 s, inside the track. */

export const SHORTEST_MS = 2_000;
export const LONGEST_MS = 60_000;
export const USUAL_MS = 10_000;

/** @typedef {{startMs: number, endMs: number}} Region */

/** Bring a region inside the track and its limits; the start is kept where both cannot be. */
export function fit({ startMs, endMs }, durationMs) {
  const longest = Math.min(LONGEST_MS, durationMs);
  const length = Math.min(Math.max(endMs - startMs, SHORTEST_MS), longest);
  const start = Math.min(Math.max(startMs, 0), Math.max(0, durationMs - length));
  return { startMs: Math.round(start), endMs: Math.round(start + Math.min(length, durationMs)) };
}

/** Move it whole. */
export const move = ({ startMs, endMs }, byMs, durationMs) =>
  fit({ startMs: startMs + byMs, endMs: endMs + byMs }, durationMs);

/** Set where it begins; the end stays, unless the limits pull it along. */
export function setIn(region, startMs, durationMs) {
  const start = Math.min(Math.max(startMs, 0), durationMs - SHORTEST_MS);
  const far = region.endMs - start > LONGEST_MS || region.endMs - start < SHORTEST_MS;
  return fit({ startMs: start, endMs: far ? start + USUAL_MS : region.endMs }, durationMs);
}

/** Set where it ends; the beginning stays, unless the limits pull it along. */
export function setOut(region, endMs, durationMs) {
  const end = Math.min(Math.max(endMs, SHORTEST_MS), durationMs);
  const length = end - region.startMs;
  const far = length > LONGEST_MS || length < SHORTEST_MS;
  return fit(
    { startMs: far ? Math.max(0, end - USUAL_MS) : region.startMs, endMs: end },
    durationMs,
  );
}

/**
 * Find the ten seconds that sound loudest: most often the part that one remembers.
 * @param {ArrayLike<number>} peaks Of the whole track, evenly spaced.
 */
export function findLoudest(peaks, durationMs) {
  const width = Math.max(1, Math.round((peaks.length * USUAL_MS) / durationMs));
  let sum = 0;
  let best = { sum: -1, at: 0 };
  for (let i = 0; i < peaks.length; i++) {
    sum += peaks[i] - (i >= width ? peaks[i - width] : 0);
    if (i >= width - 1 && sum > best.sum * 1.0001) best = { sum, at: i - width + 1 };
  }
  const startMs = Math.round(((best.at / peaks.length) * durationMs) / 100) * 100;
  return fit({ startMs, endMs: startMs + USUAL_MS }, durationMs);
}
