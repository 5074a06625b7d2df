/** Which key does what. */

import { toggle } from "./player.js";

/**
 * List the shortcuts.
 * @param {Object} page What the page can do.
 * @returns {import("./keyboard.js").Shortcut[]}
 */
export function shortcuts(page) {
  const { deck, results, act, flip } = page;
  const searching = (keys, shown, label, group, run) => ({
    keys,
    shown,
    label,
    group,
    run,
    view: "search",
  });
  const anywhere = (keys, shown, label, group, run) => ({ keys, shown, label, group, run });
  return [
    anywhere([" "], "Space", "Play, pause", "Listen", toggle),
    anywhere(["a"], "A", "Query or result, at the same loudness", "Listen", page.compare),
    searching(["q"], "Q", "Play the query", "Listen", page.playQuery),
    anywhere(["l"], "L", "Loop the part", "Listen", () => flip(page.looping)),
    searching(["g"], "G", "Play results as I go", "Listen", () => flip(page.auditioning)),
    searching(["ArrowDown", "j"], "↓ J", "Next result", "Results", () => results.go(1)),
    searching(["ArrowUp", "k"], "↑ K", "Result before", "Results", () => results.go(-1)),
    searching(
      ["Enter"],
      "Enter",
      "Play the result that one is at; elsewhere, search",
      "Results",
      () => (results.focused() ? results.playOrPause() : page.searchNow()),
    ),
    searching(["1", "2", "3", "4", "5"], "1–5", "Rate", "Results", (event) =>
      page.rate(Number(event.key)),
    ),
    searching(["0"], "0", "Take the rating back", "Results", () => page.rate(0)),
    searching(["s"], "S", "Keep on the shortlist", "Results", () => act("keep")),
    searching(["m"], "M", "Search from this result", "Results", () => act("moreLike")),
    searching(["+", "="], "+", "An example for", "Results", () => act("like")),
    searching(["-"], "−", "An example against", "Results", () => act("unlike")),
    searching(["x"], "X", "This artist not again", "Results", () => act("hideArtist")),
    searching(["/"], "/", "Find a track by name", "Query", deck.focus),
    searching(["u"], "U", "Choose a file", "Query", deck.choose),
    searching(["r"], "R", "Record, stop recording", "Query", deck.record),
    searching(["i"], "I", "In: the part begins here", "Query", deck.markIn),
    searching(["o"], "O", "Out: the part ends here", "Query", deck.markOut),
    searching(["[", "]"], "[ ]", "Nudge the part by a tenth of a second", "Query", (event) =>
      deck.move(event.key === "[" ? -100 : 100),
    ),
    searching(["{", "}"], "{ }", "Nudge it by a second", "Query", (event) =>
      deck.move(event.key === "{" ? -1000 : 1000),
    ),
    searching(["f"], "F", "Clear the filters", "Query", page.clearFilters),
    anywhere(["?"], "?", "This sheet", "Page", page.sheet),
    anywhere(["v"], "V", "Search, or the map", "Page", () =>
      page.view(document.body.dataset.view === "map" ? "search" : "map"),
    ),
  ];
}
