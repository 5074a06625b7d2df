/** The part that is searched by, set by keys and numbers, played, looped and sent. */

import { button, element, setIcon } from "./dom.js";
import { looping, play, playing, toggle } from "./player.js";
import { move, setIn, setOut, USUAL_MS } from "./region.js";
import { cancel, searchNow } from "./searching.js";
import { clock, readClock, span } from "./time.js";

/** The waveform as a slider, for those who move the part by keyboard. */
export function createSlider(surface, change) {
  const root = element(
    "div.region",
    {
      tabIndex: 0,
      role: "slider",
      "aria-label": "The part that is searched by",
      "aria-valuemin": "0",
    },
    surface,
  );
  root.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const step = way * (event.shiftKey ? 1000 : 100);
    if (event.altKey) change((region, length) => setOut(region, region.endMs + step, length));
    else change((region, length) => move(region, step, length));
  });
  return {
    root,
    show(region, source) {
      root.setAttribute("aria-valuemax", String(source.durationMs / 1000));
      root.setAttribute("aria-valuenow", String(region.startMs / 1000));
      root.setAttribute("aria-valuetext", span(region.startMs, region.endMs));
    },
  };
}

/** Buttons and fields under the waveform. */
export function createControls(source, change) {
  const playButton = button("Play the part", {
    icon: "play",
    key: "q",
    kind: "icon.round.a",
    onclick: () => (playing.value.side === "a" && playing.value.playing ? toggle() : play("a")),
  });
  const loopButton = button("Loop", {
    icon: "loop",
    key: "l",
    kind: "icon",
    onclick: () => looping.set((on) => !on),
  });
  looping.subscribe((on) => loopButton.setAttribute("aria-pressed", String(on)));
  const from = createClock("In", (ms) => change((region, length) => setIn(region, ms, length)));
  const to = createClock("Out", (ms) => change((region, length) => setOut(region, ms, length)));
  const length = element("span.span");
  const note = element("p.hint.note");
  const go = button("Search this part", {
    icon: "search",
    key: "Enter",
    kind: "primary",
    onclick: () => searchNow(),
  });
  const bar = element("progress", { max: 1, value: 0, "aria-label": "Sending the file" });
  const stage = element("span.stage");
  const stop = button("Cancel", { icon: "close", onclick: cancel });
  const sending = element("div.sending", { hidden: true }, bar, stage, stop);
  return {
    root: element(
      "div.controls",
      {},
      playButton,
      loopButton,
      from.root,
      to.root,
      length,
      go,
      sending,
      note,
    ),
    show(region) {
      const ms = region.endMs - region.startMs;
      from.show(region.startMs);
      to.show(region.endMs);
      length.textContent = `${(ms / 1000).toFixed(1)} s`;
      note.textContent = explain(ms, source);
    },
    showPlaying(on) {
      setIcon(playButton, on ? "pause" : "play");
    },
    markStale: (stale) => go.classList.toggle("stale", stale),
    showSearch({ status, progress, asked }) {
      const busy = status === "loading" && asked.kind === "file";
      sending.hidden = !busy;
      go.hidden = busy;
      if (status === "ready") go.classList.remove("stale");
      if (progress !== null && progress < 1) bar.value = progress;
      else bar.removeAttribute("value");
      stage.textContent =
        progress !== null && progress < 1 ? `${Math.round(100 * progress)} %` : "Listening";
    },
  };
}

/** Say what happens to a part that is not ten seconds long. */
function explain(ms, source) {
  if (ms > USUAL_MS) return "Longer than ten seconds: its windows of ten seconds are averaged.";
  if (ms === USUAL_MS) return "";
  if (source.kind === "file")
    return "Shorter than ten seconds: it is repeated until it fills them, as short tracks are in training.";
  return "Shorter than ten seconds: the ten seconds around its middle are compared.";
}

function createClock(label, onChange) {
  const input = element("input", {
    type: "text",
    inputMode: "decimal",
    spellcheck: false,
    autocomplete: "off",
    title: `${label}: minutes:seconds; the up and down keys nudge by a tenth, with Shift by a second`,
  });
  let shown = 0;
  const give = () => {
    const ms = readClock(input.value);
    if (Number.isNaN(ms)) input.value = clock(shown, true);
    else if (ms !== shown) onChange(ms);
  };
  input.addEventListener("change", give);
  input.addEventListener("keydown", (event) => {
    const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (event.key === "Enter") give();
    if (!way) return;
    event.preventDefault();
    onChange(shown + way * (event.shiftKey ? 1000 : 100));
  });
  return {
    root: element("label.clock", {}, element("span", {}, label), input),
    show(ms) {
      shown = ms;
      input.value = clock(ms, true);
    },
  };
}
