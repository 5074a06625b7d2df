/** Where a rater chooses a sound: a track or a file, and ten seconds of it. */

import { button, element } from "./dom.js";
import { load, play } from "./player.js";
import { fit, USUAL_MS } from "./region.js";
import { fromFile, fromTrack } from "./sources.js";
import { span } from "./time.js";
import { createTypeahead } from "./typeahead.js";
import { drawWaveform } from "./waveform.js";

/**
 * Build the choice.
 * @param {(source: Object, region: Object, following: Object) => Promise<void>} onStart
 * @param {(problem: Error) => void} onProblem
 */
export function createChoice(onStart, onProblem) {
  const preview = element("div.choice-preview");
  const picker = element("input", {
    type: "file",
    accept: "audio/*",
    className: "unseen",
    tabIndex: -1,
    "aria-label": "A sound of your own",
    on: { change: () => picker.files[0] && take(fromFile(picker.files[0])) },
  });
  const typeahead = createTypeahead({
    label: "Title or artist in the catalogue",
    onChoose: (track) => take(fromTrack(track.track_id)),
    onProblem,
  });

  async function take(making) {
    try {
      show(await making);
    } catch (problem) {
      onProblem(problem);
    }
  }

  function show(source) {
    let region = fit(source.excerpt, source.durationMs);
    const when = element("span.when", {}, span(region.startMs, region.endMs));
    const surface = element("div.surface");
    const stage = element("span.stage", { role: "status" });
    const begin = button("Hear what was found", { kind: "primary", onclick: () => start() });
    preview.replaceChildren(
      element("h3", {}, source.title),
      surface,
      element(
        "div.controls",
        {},
        button("Play the part", { icon: "play", kind: "icon.round.a", onclick: () => play("a") }),
        makeNudge("Earlier", -1000),
        makeNudge("Later", 1000),
        when,
        begin,
        stage,
      ),
    );
    const waveform = drawWaveform(surface, source, region, {
      onRegion: (dragged, done) => done && set(dragged),
      onSeek: (ms) => set({ startMs: ms }),
    });
    set(region);

    function makeNudge(label, by) {
      return button(label, { onclick: () => set({ startMs: region.startMs + by }) });
    }
    function set({ startMs }) {
      region = fit({ startMs, endMs: startMs + USUAL_MS }, source.durationMs);
      waveform.setRegion(region);
      when.textContent = span(region.startMs, region.endMs);
      load("a", {
        ...region,
        key: `a:${source.url}`,
        url: source.url,
        title: source.title,
        lufs: source.lufs,
      });
    }
    async function start() {
      begin.disabled = true;
      stage.textContent = "Listening";
      try {
        await onStart(source, region, {
          onProgress: (share) =>
            (stage.textContent = share < 1 ? `${Math.round(100 * share)} %` : "Listening"),
        });
      } catch (problem) {
        begin.disabled = false;
        stage.textContent = "";
        onProblem(problem);
      }
    }
  }

  return element(
    "section.panel.choice",
    { "aria-label": "Choose a sound" },
    element("h3", {}, "Choose a sound that you would search by"),
    element(
      "div.sources",
      {},
      typeahead.root,
      button("Choose a file", { icon: "file", onclick: () => picker.click() }),
      picker,
    ),
    preview,
  );
}
