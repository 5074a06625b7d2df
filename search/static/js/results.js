/** The ranked segments, and which of them one is at. */

import { button, count, element } from "./dom.js";
import { examples, filters, found, more, searchNow } from "./searching.js";
import { announce, problemLine, toast } from "./notices.js";
import { audition, cue, load, onTick, playing } from "./player.js";
import { ratings } from "./ratings.js";
import { createRow } from "./row.js";
import { keyOf } from "./segments.js";
import { shortlist } from "./shortlist.js";
import { createStore } from "./store.js";
import { span } from "./time.js";

const SKELETONS = 6;

/** Whether going to a result plays it at once. */
export const auditioning = createStore(false, "auditioning");

/**
 * Build the list.
 * @param {HTMLElement} root
 * @param {Object} acts What a row's buttons do.
 */
export function createResults(root, acts) {
  const heading = element("div.results-heading");
  const auditioningBox = makeAuditioning();
  const list = element("div.feed", { role: "feed", "aria-label": "Results" });
  const foot = element("div.foot");
  root.replaceChildren(heading, list, foot);
  let rows = [];
  let at = -1;
  let shown = null;

  function render(state) {
    list.setAttribute("aria-busy", String(state.status === "loading"));
    heading.replaceChildren(...makeHeading(state, auditioningBox));
    if (state.status === "loading") list.replaceChildren(...makeSkeletons());
    else if (state.status === "ready") renderRows(state);
    else list.replaceChildren();
    if (state.status !== "ready") [rows, at, shown] = [[], -1, null];
    foot.replaceChildren(...makeFoot(state));
    list.hidden = !list.children.length;
  }

  function renderRows({ items, asked }) {
    const added = asked === shown ? items.slice(rows.length) : items;
    const made = added.map((segment) => createRow(segment, acts));
    made.forEach((row) => row.setCurrent(false));
    if (asked === shown) list.append(...made.map((row) => row.root));
    else list.replaceChildren(...made.map((row) => row.root));
    rows = asked === shown ? [...rows, ...made] : made;
    if (asked !== shown) at = -1;
    shown = asked;
    rows.forEach((row, i) => {
      row.root.setAttribute("aria-posinset", String(i + 1));
      row.root.setAttribute("aria-setsize", found.value.cursor ? "-1" : String(rows.length));
    });
    mark();
    if (at < 0 && rows.length) {
      setCurrent(0);
      if (!playing.value.playing || playing.value.side === "a") load("b", rows[0].clip);
    }
  }

  function setCurrent(next) {
    rows[at]?.setCurrent(false);
    at = next;
    rows[at].setCurrent(true);
  }

  /** Show on every row what is known elsewhere: kept, rated, an example, playing. */
  function mark() {
    const kept = new Set(shortlist.value.map(keyOf));
    const ways = new Map();
    for (const way of ["likes", "dislikes"])
      examples.value[way].forEach((one) => ways.set(keyOf(one), way));
    for (const row of rows) {
      const key = keyOf(row.segment);
      row.showKept(kept.has(key));
      row.showExample(ways.get(key));
      row.showRating();
      row.showPlaying();
    }
  }

  list.addEventListener("focusin", (event) => {
    const index = rows.findIndex((row) => row.root.contains(event.target));
    if (index >= 0 && index !== at) setCurrent(index);
  });
  for (const store of [shortlist, examples, ratings, playing]) store.subscribe(mark);
  found.subscribe(render);
  onTick((side, clip, ms) => {
    if (side !== "b") return;
    for (const row of rows) if (row.clip.key === clip?.key) row.showPosition(ms);
  });
  new ResizeObserver(() => rows.forEach((row) => row.paint())).observe(list);

  return {
    repaint: () => rows.forEach((row) => row.paint()),
    current: () => rows[at]?.segment,
    focused: () => list.contains(document.activeElement),
    playOrPause: () => rows[at]?.playOrPause(),
    /** Go up or down; beyond the last row more are fetched. */
    async go(step) {
      const focused = list.contains(document.activeElement);
      if (at + step >= rows.length) await more();
      const next = focused || step < 0 ? at + step : Math.max(0, at);
      if (!rows[next]) return;
      setCurrent(next);
      rows[next].root.focus();
      if (auditioning.value) audition(rows[next].clip);
      else if (!playing.value.playing) cue(rows[next].clip);
    },
  };
}

function makeHeading({ status, asked, items }, auditioningBox) {
  if (!asked) return [];
  const { source, region, kind } = asked;
  const what =
    kind === "examples"
      ? [
          `Like ${count(asked.likes.length, "example")}`,
          asked.dislikes.length ? `, unlike ${asked.dislikes.length}` : "",
        ]
      : [
          "Sounds like ",
          element("strong", {}, source.title),
          ` ${span(region.startMs, region.endMs)}`,
        ];
  const title = element("h2", {}, ...what);
  if (status !== "ready" || !items.length) return [title];
  return [title, auditioningBox, ...makeLink(kind)];
}

function makeAuditioning() {
  const box = element("input", { type: "checkbox", checked: auditioning.value });
  box.addEventListener("change", () => auditioning.set(box.checked));
  auditioning.subscribe((on) => (box.checked = on));
  return element(
    "label.check",
    { title: "Going to a result with the arrow keys plays it" },
    box,
    "Play as I go",
  );
}

function makeLink(kind) {
  if (kind === "file") return []; // it is in this browser alone
  return [button("Copy link", { icon: "link", onclick: copyLink })];
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    toast("The link to this search is on the clipboard.");
  } catch {
    toast("The browser keeps the clipboard closed: copy the address bar, it is the link.");
  }
}

function makeSkeletons() {
  return Array.from({ length: SKELETONS }, () =>
    element(
      "article.row.ghost",
      { "aria-hidden": "true" },
      ...["rank", "round", "what", "sound", "score"].map((part) =>
        element(`span.${part}.skeleton`),
      ),
    ),
  );
}

function makeFoot(state) {
  const { status, items, cursor, problem } = state;
  const foot = [];
  if (problem) foot.push(problemLine(problem, status === "ready" ? more : searchNow));
  if (status === "cancelled")
    foot.push(
      element("p.empty", {}, "Cancelled. Press Enter to search again, or choose another part."),
    );
  if (status === "ready" && !items.length) foot.push(...explainNothing());
  if (status === "ready" && cursor) {
    foot.push(
      button("Show more", {
        kind: "quiet.wide",
        onclick: () => (more(), announce("Loading more.")),
      }),
    );
  }
  return foot;
}

function explainNothing() {
  const { genres, moods, notArtists, minMs, maxMs } = filters.value;
  const filtered = genres.length || moods.length || notArtists.length || minMs || maxMs;
  if (!filtered)
    return [
      element(
        "p.empty",
        {},
        "Nothing else is in the catalogue yet. Once the pipeline has run on more tracks, they are found here.",
      ),
    ];
  return [
    element("p.empty", {}, "No track passes the filters: take one away, or all of them."),
    button("Clear the filters", {
      onclick: () => document.getElementById("clear-filters").click(),
    }),
  ];
}
