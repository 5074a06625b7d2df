/** A result's waveform with its matching part marked: a canvas, since there are many on a page. */

import { getPeaks } from "./api.js";
import { colour, element, sizeCanvas } from "./dom.js";

const BAR = 3; // pixels: two of them drawn

/**
 * Make a strip; its peaks are fetched when it comes into sight.
 * @param {{trackId: string, durationMs: number, startMs: number, endMs: number}} segment
 * @param {(ms: number) => void} onSeek A click or a tap.
 */
export function createStrip(segment, onSeek) {
  const canvas = element("canvas");
  const head = element("div.head", { hidden: true });
  const root = element("div.strip.skeleton", { "aria-hidden": "true" }, canvas, head);
  const state = { ...segment, peaks: null };
  const paint = () => state.peaks && drawStrip(canvas, state);
  watch(root, async () => {
    try {
      const { peaks, duration_ms: durationMs } = await getPeaks(segment.trackId);
      Object.assign(state, { peaks, durationMs });
      paint();
    } catch {
      root.classList.add("bare"); // it still plays and seeks
    } finally {
      root.classList.remove("skeleton");
    }
  });
  root.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    onSeek(((event.clientX - box.left) / box.width) * state.durationMs);
  });
  return {
    root,
    paint,
    showPosition(ms) {
      head.hidden = ms === null;
      if (ms !== null) head.style.left = `${(100 * ms) / state.durationMs}%`;
    },
  };
}

function drawStrip(canvas, { peaks, durationMs, startMs, endMs }) {
  const { context, width, height } = sizeCanvas(canvas);
  if (!width) return;
  const from = (startMs / durationMs) * width;
  const to = Math.max(from + BAR, (endMs / durationMs) * width);
  context.fillStyle = colour("match-wash");
  context.fillRect(from, 0, to - from, height);
  const [rest, matched] = [colour("wave"), colour("match")];
  const highest = Math.max(...sample(peaks, 400), 0.05);
  for (let x = 0; x < width; x += BAR) {
    const first = Math.floor((x / width) * peaks.length);
    const last = Math.max(first + 1, Math.floor(((x + BAR) / width) * peaks.length));
    let peak = 0;
    for (let i = first; i < last; i++) if (peaks[i] > peak) peak = peaks[i];
    const bar = Math.max(1.5, (peak / highest) * (height - 4));
    context.fillStyle = x + BAR > from && x < to ? matched : rest;
    context.fillRect(x, (height - bar) / 2, BAR - 1, bar);
  }
}

function sample(peaks, most) {
  const step = Math.max(1, Math.floor(peaks.length / most));
  return Array.from({ length: Math.ceil(peaks.length / step) }, (_, i) => peaks[i * step]);
}

const arrivals = new WeakMap();
const observer = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      arrivals.get(target)();
    }
  },
  { rootMargin: "200px" },
);

function watch(target, onArrival) {
  arrivals.set(target, onArrival);
  observer.observe(target);
}
