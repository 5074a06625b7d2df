/** The query's deck: what is searched by, its waveform, and the part of it that is heard. */

import { button, element } from "./dom.js";
import { problemLine } from "./notices.js";
import { load, onTick, play, playing, position } from "./player.js";
import { createRecording } from "./recording.js";
import { fit, move, setIn, setOut, USUAL_MS } from "./region.js";
import { createControls, createSlider } from "./region_controls.js";
import { clear, examples, found, query, searchNow, searchSoon } from "./searching.js";
import { fromFile, fromTrack, release } from "./sources.js";
import { clock } from "./time.js";
import { createTypeahead } from "./typeahead.js";
import { drawWaveform } from "./waveform.js";
import { createWelcome } from "./welcome.js";

const NO_EXAMPLES = { likes: [], dislikes: [] };

/**
 * Build the deck.
 * @param {HTMLElement} root
 */
export function createQuery(root) {
  const trouble = element("div");
  const deck = element("div.deck", { hidden: true });
  const welcome = createWelcome((trackId) => searchFrom(trackId));
  const report = (problem, retry) => trouble.replaceChildren(problemLine(problem, retry));
  const picker = element("input", {
    type: "file",
    accept: "audio/*,.wav,.flac,.mp3,.ogg,.m4a",
    className: "unseen",
    tabIndex: -1,
    "aria-label": "A sound file to search by",
    on: { change: () => (picker.files[0] && searchByFile(picker.files[0]), (picker.value = "")) },
  });
  const typeahead = createTypeahead({
    label: "Title or artist in the catalogue",
    onChoose: (track) => searchFrom(track.track_id),
    onProblem: report,
  });
  const recording = createRecording((file) => searchByFile(file), report);
  const sources = element(
    "div.sources",
    {},
    typeahead.root,
    button("Choose a file", {
      icon: "file",
      key: "u",
      kind: "quiet",
      onclick: () => picker.click(),
    }),
    recording.root,
    picker,
    element("p.hint", {}, "or drop or paste one anywhere on the page"),
  );
  root.replaceChildren(
    element(
      "section.panel.query",
      { "aria-label": "What to search by" },
      sources,
      trouble,
      deck,
      welcome.root,
    ),
  );

  let shown = null; // {waveform, slider, controls} of the source
  let asked = 0;

  async function take(making, region, retry) {
    const mine = ++asked;
    trouble.replaceChildren();
    root.setAttribute("aria-busy", "true");
    try {
      const source = await making;
      if (mine !== asked) return; // something else was chosen meanwhile
      release(query.value.source);
      examples.set(NO_EXAMPLES);
      const chosen = fit(region?.endMs ? region : findStart(source, region), source.durationMs);
      query.set({ source, region: chosen });
      show(source, chosen);
      searchNow();
    } catch (problem) {
      if (mine === asked) report(problem, retry);
    } finally {
      if (mine === asked) root.removeAttribute("aria-busy");
    }
  }

  function show(source, region) {
    shown?.waveform.destroy();
    deck.hidden = false;
    welcome.root.remove();
    const surface = element("div.surface");
    const controls = createControls(source, change);
    const slider = createSlider(surface, change);
    deck.replaceChildren(createHeading(source), slider.root, controls.root);
    const waveform = drawWaveform(surface, source, region, {
      onRegion: (dragged, done) => change(() => dragged, done, true),
      onSeek: (ms) => play("a", ms),
    });
    shown = { waveform, slider, controls };
    controls.show(region);
    slider.show(region, source);
    load("a", clipOf(source, region));
  }

  /** Change the region by a rule; search again once it rests (a file waits to be sent again). */
  function change(rule, done = true, dragged = false) {
    const { source, region } = query.value;
    if (!source) return;
    const next = fit(rule(region, source.durationMs), source.durationMs);
    query.set({ source, region: next });
    load("a", clipOf(source, next));
    if (!dragged || done) shown.waveform.setRegion(next);
    shown.controls.show(next);
    shown.slider.show(next, source);
    if (!done) return;
    if (source.kind === "track") searchSoon();
    else shown.controls.markStale(true);
  }

  const searchFrom = (trackId, region) =>
    take(fromTrack(trackId), region, () => searchFrom(trackId, region));
  const searchByFile = (file) => take(fromFile(file), null, null);

  onTick((side, clip, ms) => side === "a" && clip && shown?.waveform.setPosition(ms));
  playing.subscribe(({ side, playing: on }) => shown?.controls.showPlaying(side === "a" && on));
  found.subscribe((state) => shown?.controls.showSearch(state));

  return {
    searchFrom,
    searchByFile,
    change,
    /** Put the query back on deck A, after another view has used it. */
    cue() {
      const { source, region } = query.value;
      if (source) load("a", clipOf(source, region));
    },
    repaint: () => shown?.waveform.repaint(),
    focus: typeahead.focus,
    choose: () => picker.click(),
    record: recording.toggle,
    move: (ms) => change((region, length) => move(region, ms, length)),
    markIn: () => change((region, length) => setIn(region, position("a"), length)),
    markOut: () => change((region, length) => setOut(region, position("a"), length)),
    clear() {
      release(query.value.source);
      query.set({ source: null, region: null });
      deck.hidden = true;
      root.querySelector(".query").append(welcome.root);
      clear();
    },
  };
}

function findStart(source, region) {
  if (region?.startMs !== null && region?.startMs !== undefined) {
    return { startMs: region.startMs, endMs: region.startMs + USUAL_MS };
  }
  return source.excerpt;
}

function clipOf({ url, title, artist, lufs }, region) {
  return { url, title, artist, lufs, key: `a:${url}`, ...region };
}

function createHeading({ title, artist, durationMs }) {
  return element(
    "div.heading",
    {},
    element("span.badge.a", { title: "Deck A: your query" }, "A"),
    element("h2", {}, title),
    element("span.artist", {}, artist),
    element("span.length", {}, clock(durationMs)),
  );
}
