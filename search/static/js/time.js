/** Times as people read them. */

/** Write milliseconds as m:ss, or m:ss.t when tenths matter. */
export function clock(ms, tenths = false) {
  const whole = Math.max(0, Math.round(ms / 100));
  const minutes = Math.floor(whole / 600);
  const seconds = Math.floor((whole % 600) / 10);
  const text = `${minutes}:${String(seconds).padStart(2, "0")}`;
  return tenths ? `${text}.${whole % 10}` : text;
}

/** Read "75", "75.5" or "1:15.5" as milliseconds; NaN if it is none of them. */
export function readClock(text) {
  const parts = text.trim().replace(",", ".").split(":");
  if (parts.length > 2 || parts.some((part) => !/^\d+(\.\d*)?$/.test(part))) return NaN;
  const [seconds, minutes] = parts.map(Number).reverse();
  return Math.round(1000 * (seconds + 60 * (minutes ?? 0)));
}

/** Say a span aloud. */
export function span(startMs, endMs) {
  return `${clock(startMs, true)} to ${clock(endMs, true)}`;
}
