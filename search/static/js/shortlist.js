/** The tracks one wants to keep, in this browser, and their way out of it. */

import { button, element } from "./dom.js";
import { download, toCsv, toJson, toM3u } from "./exports.js";
import { announce } from "./notices.js";
import { audition } from "./player.js";
import { clipOf, keyOf } from "./segments.js";
import { createStore } from "./store.js";
import { clock } from "./time.js";

export const shortlist = createStore([], "shortlist");

/** Put a segment on the list, or take it off. */
export function keep(segment) {
  const key = keyOf(segment);
  const kept = shortlist.value.some((one) => keyOf(one) === key);
  shortlist.set((list) => (kept ? list.filter((one) => keyOf(one) !== key) : [...list, segment]));
  announce(
    kept ? `${segment.title} taken off the shortlist.` : `${segment.title} is on the shortlist.`,
  );
}

const FORMATS = [
  ["CSV", "csv", "text/csv", toCsv],
  ["JSON", "json", "application/json", toJson],
  ["M3U", "m3u", "audio/x-mpegurl", toM3u],
];

/** Build the panel. */
export function createShortlist(root) {
  const list = element("ul.kept");
  const count = element("span.count");
  const empty = element(
    "p.empty",
    {},
    "Press S on a result to keep it here; the list stays in this browser until you export it.",
  );
  const ways = FORMATS.map(([label, ending, type, write]) =>
    button(label, {
      kind: "quiet.small",
      title: `Export as ${label}`,
      onclick: () => download(`shortlist.${ending}`, type, write(shortlist.value)),
    }),
  );
  const out = element(
    "div.exports",
    {},
    element("span.hint", {}, "Export"),
    ...ways,
    button("Clear", { kind: "link", onclick: () => shortlist.set([]) }),
  );
  const panel = element(
    "details.panel",
    { open: matchMedia("(min-width: 1100px)").matches },
    element("summary", {}, element("h2", {}, "Shortlist"), count),
    empty,
    list,
    out,
  );
  root.replaceChildren(panel);
  shortlist.subscribe((segments) => {
    count.textContent = segments.length ? String(segments.length) : "";
    empty.hidden = segments.length > 0;
    out.hidden = !segments.length;
    list.replaceChildren(...segments.map(makeEntry));
  });
}

function makeEntry(segment) {
  return element(
    "li",
    {},
    button(`Play ${segment.title}`, {
      icon: "play",
      kind: "icon",
      onclick: () => audition(clipOf(segment)),
    }),
    element(
      "span.what",
      {},
      element("b", {}, segment.title),
      element("small", {}, `${segment.artist ?? ""} · ${clock(segment.start_ms)}`),
    ),
    button(`Take ${segment.title} off`, {
      icon: "close",
      kind: "icon",
      onclick: () => keep(segment),
    }),
  );
}
