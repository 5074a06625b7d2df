/** The search that is asked for and what it found: the page's one state. */

import * as api from "./api.js";
import { announce } from "./notices.js";
import { adjust } from "./player.js";
import { prepare } from "./sources.js";
import { createStore } from "./store.js";

const PAGE = 20;
const SETTLE_MS = 180; // a region that is dragged has stopped moving

export const NO_FILTERS = { genres: [], moods: [], notArtists: [], minMs: null, maxMs: null };

/** What is searched by: {source, region}. */
export const query = createStore({ source: null, region: null });
export const filters = createStore(NO_FILTERS);

/** Segments for and against: {track_id, start_ms, title, artist}. */
export const examples = createStore({ likes: [], dislikes: [] });

/** {status: "idle"|"loading"|"ready"|"failed", items, cursor, model, asked, problem, progress}. */
const NOTHING = {
  status: "idle",
  items: [],
  cursor: null,
  model: null,
  asked: null,
  problem: null,
  progress: null,
};
export const found = createStore(NOTHING);

let running = null;
let settling = 0;

/** Search as soon as things have settled. */
export function searchSoon() {
  clearTimeout(settling);
  settling = setTimeout(searchNow, SETTLE_MS);
}

/** Search by what is chosen now. */
export async function searchNow() {
  clearTimeout(settling);
  const asked = describe();
  if (!asked) return;
  running?.abort();
  const control = new AbortController();
  running = control;
  found.set({ ...NOTHING, status: "loading", asked, items: [] });
  try {
    const answer = await ask(asked, control.signal);
    if (running === control) receive(answer, asked);
  } catch (error) {
    if (running === control) fail(error, asked);
  }
}

/** Give up the search that runs. */
export function cancel() {
  running?.abort();
}

/** Forget the results: there is nothing to search by. */
export function clear() {
  running?.abort();
  running = null;
  found.set(NOTHING);
}

/** Fetch the next results of the same search. */
export async function more() {
  const { cursor, status, loadingMore } = found.value;
  if (!cursor || status !== "ready" || loadingMore) return;
  found.set((now) => ({ ...now, loadingMore: true }));
  const asked = found.value.asked;
  try {
    const answer = await api.search({ cursor });
    if (found.value.asked !== asked) return;
    found.set((now) => ({
      ...now,
      items: [...now.items, ...answer.results],
      cursor: answer.next_cursor,
      problem: null,
      loadingMore: false,
    }));
    announce(`${found.value.items.length} results.`);
  } catch (problem) {
    found.set((now) => ({ ...now, loadingMore: false, problem }));
  }
}

/** Filters as the API names them; those that filter nothing are left out. */
export function nameFilters({ genres, moods, notArtists, minMs, maxMs }) {
  const named = {};
  if (genres.length) named.genres = genres;
  if (moods.length) named.moods = moods;
  if (notArtists.length) named.not_artists = notArtists;
  if (minMs) named.min_duration_ms = minMs;
  if (maxMs) named.max_duration_ms = maxMs;
  return named;
}

function describe() {
  const { likes, dislikes } = examples.value;
  const { source, region } = query.value;
  if (likes.length) return { kind: "examples", likes, dislikes, filters: filters.value };
  if (!source) return null;
  return { kind: source.kind, source, region, filters: filters.value };
}

function ask(asked, signal) {
  const options = { filters: nameFilters(asked.filters), k: PAGE };
  const name = ({ track_id, start_ms }) => ({ track_id, start_ms });
  if (asked.kind === "examples") {
    const likes = asked.likes.map(name);
    return api.search({ likes, dislikes: asked.dislikes.map(name), ...options }, signal);
  }
  const { source, region } = asked;
  if (asked.kind === "track") {
    const segment = { track_id: source.trackId, start_ms: region.startMs, end_ms: region.endMs };
    return api.search({ ...segment, ...options }, signal);
  }
  const sent = prepare(source, region);
  const onProgress = (progress) => found.set((now) => ({ ...now, progress }));
  onProgress(0);
  return api.searchByFile(sent.file, sent.region, options, { onProgress, signal });
}

function receive(answer, asked) {
  const { results, next_cursor: cursor, model_version: model, query: heard } = answer;
  if (asked.kind !== "examples" && Number.isFinite(heard?.loudness_lufs)) {
    asked.source.lufs = heard.loudness_lufs;
    adjust("a", { lufs: heard.loudness_lufs });
  }
  found.set({ ...NOTHING, status: "ready", items: results, cursor, model, asked, heard });
  announce(results.length ? `${results.length} results.` : "Nothing was found.");
}

function fail(error, asked) {
  if (error.name === "AbortError") {
    found.set({ ...NOTHING, asked, status: "cancelled" });
    announce("Search cancelled.");
    return;
  }
  found.set({ ...NOTHING, status: "failed", asked, problem: error });
}
