/** The empty page: what it is for, and somewhere to begin. */

import { findTracks } from "./api.js";
import { button, element } from "./dom.js";

const SUGGESTED = 6;

/** Build it. */
export function createWelcome(onTrack) {
  const suggestions = element("div.suggestions");
  const steps = [
    [
      "Give it a sound",
      "A reference track, a rough cut, a melody hummed into the microphone: anything with the feeling you are after.",
    ],
    [
      "Point at the moment",
      "Drag the amber part over the ten seconds that matter. Results change as you do.",
    ],
    [
      "Compare by ear",
      "Press A to jump between your sound and a result, at the same loudness. Keep the good ones.",
    ],
  ];
  const root = element(
    "div.welcome",
    {},
    element(
      "ol",
      {},
      ...steps.map(([title, text]) =>
        element("li", {}, element("h2", {}, title), element("p", {}, text)),
      ),
    ),
    suggestions,
  );
  findTracks("", 100).then(
    ({ tracks }) => suggest(suggestions, spread(tracks, SUGGESTED), onTrack),
    () => {},
  );
  return { root };
}

/** Choose some from everywhere in a list: neighbours in the alphabet are often of one album. */
function spread(tracks, most) {
  const step = Math.max(1, tracks.length / most);
  const places = Array.from({ length: Math.min(most, tracks.length) }, (_, i) => i * step);
  return places.map((place) => tracks[Math.floor(place)]);
}

function suggest(root, tracks, onTrack) {
  if (!tracks.length) {
    root.append(
      element(
        "p",
        {},
        "The catalogue is still empty: run the pipeline (make pipeline CATALOG=...), then load this page again.",
      ),
    );
    return;
  }
  root.append(element("span.hint", {}, "Or start from"));
  for (const track of tracks) {
    const chip = button(`${track.title}`, { kind: "chip", onclick: () => onTrack(track.track_id) });
    chip.append(element("small", {}, track.artist));
    root.append(chip);
  }
}
