/** A found segment as the page's other parts need it. */

import { audioUrl } from "./api.js";

/** What tells segments apart. */
export const keyOf = ({ track_id, start_ms }) => `${track_id}@${start_ms}`;

/** Make a clip of it, for the player. */
export function clipOf(segment) {
  return {
    key: keyOf(segment),
    url: audioUrl(segment.track_id),
    startMs: segment.start_ms,
    endMs: segment.end_ms,
    title: segment.title,
    artist: segment.artist,
    lufs: segment.loudness_lufs,
  };
}
