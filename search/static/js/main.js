/** Puts the page together. */

import { getModel, getTrack } from "./api.js";
import { addExample, createExamples } from "./examples.js";
import { createFilters, filter, hideArtist } from "./filters.js";
import { takeFiles } from "./intake.js";
import { listen, showSheet } from "./keyboard.js";
import { createMap } from "./map.js";
import { toast } from "./notices.js";
import { readAddress, writeAddress } from "./permalink.js";
import { failures, looping, play, stop } from "./player.js";
import { compareOrSay, createPlayerBar } from "./player_bar.js";
import { createQuery } from "./query.js";
import { rate } from "./ratings.js";
import { auditioning, createResults } from "./results.js";
import { examples, filters, found, query, searchNow } from "./searching.js";
import { openSession } from "./session.js";
import { createShortlist, keep } from "./shortlist.js";
import { shortcuts } from "./shortcuts.js";
import { createStudy } from "./study.js";

const get = (id) => document.getElementById(id);
const VIEWS = { search: "soundalike", map: "Map · soundalike", study: "Study · soundalike" };

let view = "search";
let following = false; // an address is being read, so none is written

const deck = createQuery(get("query"));
const acts = {
  moreLike: ({ track_id, start_ms, end_ms }) =>
    searchFrom(track_id, { startMs: start_ms, endMs: end_ms }),
  like: (segment) => addExample(segment, "likes"),
  unlike: (segment) => addExample(segment, "dislikes"),
  keep,
  hideArtist,
};
const results = createResults(get("results"), acts);
createExamples(get("examples"));
createFilters(get("filters"));
createShortlist(get("shortlist"));
createPlayerBar(get("player"));
const map = createMap(get("map"), (trackId) => searchFrom(trackId));
const study = createStudy(get("study"), remember);

async function searchFrom(trackId, region) {
  show("search");
  window.scrollTo({ top: 0 });
  await deck.searchFrom(trackId, region);
}

/** Change the view; music goes on, but for the study, which must not be heard beside other music. */
function show(next) {
  if (next !== view && (next === "study" || view === "study")) stop();
  view = next;
  document.title = VIEWS[view];
  for (const name of Object.keys(VIEWS)) get(`view-${name}`).hidden = name !== view;
  for (const link of document.querySelectorAll(".views [data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.view = view;
  if (view === "search") deck.cue();
  if (view === "map") map.open();
  if (view === "study") study.open(readAddress().study);
}

/** Write where one is into the address. */
function remember(more = {}) {
  if (following) return;
  const { source, region } = query.value;
  const address =
    view === "search"
      ? {
          segment: source?.kind === "track" ? { trackId: source.trackId, ...region } : null,
          ...nameExamples(),
          filters: filters.value,
        }
      : { view, ...more };
  const text = writeAddress(address);
  if (text !== location.pathname + location.search) history.pushState(null, "", text);
}

function nameExamples() {
  const name = ({ track_id: trackId, start_ms: startMs }) => ({ trackId, startMs });
  return { likes: examples.value.likes.map(name), dislikes: examples.value.dislikes.map(name) };
}

/** Give examples of an address their titles. */
const nameAll = (list) =>
  Promise.all(
    list.map(async ({ trackId, startMs }) => {
      const { title, artist } = await getTrack(trackId).catch(() => ({}));
      return { track_id: trackId, start_ms: startMs, title, artist };
    }),
  );

/** Go where the address says. */
async function follow() {
  following = true;
  const address = readAddress();
  show(address.view in VIEWS ? address.view : "search");
  filters.set(address.filters);
  if (address.likes.length) {
    const [likes, dislikes] = await Promise.all([address.likes, address.dislikes].map(nameAll));
    examples.set({ likes, dislikes });
    await searchNow();
  } else if (address.segment) {
    await deck.searchFrom(address.segment.trackId, address.segment);
  } else if (view === "search" && query.value.source?.kind === "track") deck.clear();
  following = false;
}

found.subscribe(({ status, model }) => {
  get("view-search").classList.toggle("blank", status === "idle" && !query.value.source);
  if (model) showModel(model);
  if (status === "ready" && view === "search") remember();
});
window.addEventListener("popstate", follow);
for (const link of document.querySelectorAll("a[data-view]")) {
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link.dataset.view);
    remember();
  });
}

takeFiles(
  (file) => (show("search"), deck.searchByFile(file)),
  () =>
    toast(
      "There is no sound on the clipboard: copy a sound file in your file manager, then paste it here.",
    ),
);
failures.onFailure = (clip) =>
  toast(`${clip?.title ?? "This"} cannot be played: it may have been taken down, so search again.`);

const keys = shortcuts({
  deck,
  results,
  map,
  current: () => results.current(),
  act: (name) => results.current() && acts[name](results.current()),
  rate: (value) => results.current() && rate(results.current(), value),
  compare: compareOrSay,
  playQuery: () => play("a"),
  searchNow,
  flip: (store) => store.set((on) => !on),
  looping,
  auditioning,
  sheet: () => showSheet(keys),
  view: (name) => (show(name), remember()),
  clearFilters: () => filter({ genres: [], moods: [], notArtists: [], minMs: null, maxMs: null }),
});
listen(keys, () => view);
get("open-keys").addEventListener("click", () => showSheet(keys));
get("switch-theme").addEventListener("click", switchTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

function showModel(version) {
  get("model").textContent = `Model ${version}`;
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("soundalike.theme", root.dataset.theme);
  repaint();
}

function repaint() {
  deck.repaint();
  results.repaint();
  map.repaint();
}

await openSession();
getModel().then(
  ({ version }) => showModel(version),
  () => {},
);
await follow();
