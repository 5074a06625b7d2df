/** The shortlist as files that other programs read. */

import { audioUrl } from "./api.js";
import { ratings } from "./ratings.js";
import { keyOf } from "./segments.js";
import { clock } from "./time.js";

const COLUMNS = [
  "title",
  "artist",
  "album",
  "genres",
  "moods",
  "in",
  "out",
  "length",
  "similarity",
  "rating",
  "track_id",
  "link",
];

const absolute = (path) => new URL(path, location.origin).href;

function toRecord(segment) {
  return {
    title: segment.title,
    artist: segment.artist,
    album: segment.album,
    genres: segment.genres.join("|"),
    moods: segment.moods.join("|"),
    in: clock(segment.start_ms, true),
    out: clock(segment.end_ms, true),
    length: clock(segment.duration_ms),
    similarity: Math.round(segment.similarity),
    rating: ratings.value[keyOf(segment)] ?? "",
    track_id: segment.track_id,
    link: absolute(
      `/?track=${encodeURIComponent(segment.track_id)}&from=${segment.start_ms / 1000}&to=${segment.end_ms / 1000}`,
    ),
  };
}

/** Quote a field; one that a spreadsheet would take for a formula is made text. */
function quote(value) {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export function toCsv(segments) {
  const rows = segments
    .map(toRecord)
    .map((record) => COLUMNS.map((name) => quote(record[name])).join(","));
  return [COLUMNS.join(","), ...rows, ""].join("\r\n");
}

export function toJson(segments) {
  const records = segments.map((segment) => ({
    ...segment,
    rating: ratings.value[keyOf(segment)] ?? null,
    link: toRecord(segment).link,
  }));
  return JSON.stringify({ exported: new Date().toISOString(), shortlist: records }, null, 2);
}

/** A playlist that starts each track at its match, in players that know how. */
export function toM3u(segments) {
  const clean = (text) => String(text ?? "").replace(/[\r\n]+/g, " ");
  const entries = segments.flatMap((segment) => [
    `#EXTINF:${Math.round(segment.duration_ms / 1000)},${clean(segment.artist)} - ${clean(segment.title)}`,
    `#EXTVLCOPT:start-time=${segment.start_ms / 1000}`,
    absolute(audioUrl(segment.track_id)),
  ]);
  return ["#EXTM3U", ...entries, ""].join("\n");
}

/** Give a text to the browser as a download. */
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
