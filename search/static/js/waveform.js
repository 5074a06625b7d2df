/** The query's waveform with the region that is searched by, dragged by mouse or finger. */

import WaveSurfer from "/static/vendor/wavesurfer.js/wavesurfer.esm.js";
import Regions from "/static/vendor/wavesurfer.js/regions.esm.js";
import { colour } from "./dom.js";
import { LONGEST_MS, SHORTEST_MS } from "./region.js";

// The height is part of the one inline style that the server's content security policy lets pass.
const HEIGHT = 96;

const colours = () => ({
  waveColor: colour("wave"),
  progressColor: colour("wave-played"),
  cursorColor: colour("text"),
});

/**
 * Draw a waveform.
 * @param {HTMLElement} container
 * @param {{peaks: ArrayLike<number>, durationMs: number}} track
 * @param {{startMs: number, endMs: number}} region
 * @param {{onRegion: (region: Object, done: boolean) => void, onSeek: (ms: number) => void}} events
 */
export function drawWaveform(container, track, region, { onRegion, onSeek }) {
  const regions = Regions.create();
  const surfer = WaveSurfer.create({
    container,
    height: HEIGHT,
    peaks: [track.peaks],
    duration: track.durationMs / 1000,
    barWidth: 2,
    barGap: 1,
    barRadius: 2,
    cursorWidth: 2,
    dragToSeek: false,
    normalize: true,
    hideScrollbar: true,
    plugins: [regions],
    ...colours(),
  });
  let chosen = region;
  let marked = null; // a region needs the length, which is known once the peaks are taken in
  surfer.once("ready", () => {
    marked = regions.addRegion({
      start: chosen.startMs / 1000,
      end: chosen.endMs / 1000,
      minLength: Math.min(SHORTEST_MS, track.durationMs) / 1000,
      maxLength: LONGEST_MS / 1000,
      color: colour("query-wash"),
    });
    surfer.setTime(chosen.startMs / 1000);
  });
  const read = () => ({
    startMs: 100 * Math.round(10 * marked.start), // tenths, as the fields show
    endMs: 100 * Math.round(10 * marked.end),
  });
  regions.on("region-update", () => onRegion(read(), false));
  regions.on("region-updated", () => onRegion(read(), true));
  surfer.on("interaction", (seconds) => onSeek(1000 * seconds));
  return {
    setRegion(next) {
      chosen = next;
      marked?.setOptions({ start: next.startMs / 1000, end: next.endMs / 1000 });
    },
    setPosition: (ms) => surfer.setTime(ms / 1000),
    repaint() {
      surfer.setOptions(colours());
      marked?.setOptions({ color: colour("query-wash") });
    },
    destroy: () => surfer.destroy(),
  };
}
