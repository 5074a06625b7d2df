/** A field that finds tracks of the catalogue while one types (the ARIA combobox pattern). */

import { findTracks } from "./api.js";
import { element, icon } from "./dom.js";
import { clock } from "./time.js";

const PAUSE_MS = 120;
let made = 0;

/**
 * Make the field.
 * @param {{label: string, onChoose: (track: Object) => void, onProblem: (problem: Error) => void}} options
 */
export function createTypeahead({ label, onChoose, onProblem }) {
  const name = `tracks-${++made}`;
  const input = element("input", {
    type: "text",
    placeholder: label,
    role: "combobox",
    autocomplete: "off",
    spellcheck: false,
    "aria-label": label,
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": name,
  });
  const list = element("ul.choices", {
    id: name,
    role: "listbox",
    "aria-label": "Tracks",
    hidden: true,
  });
  const root = element("div.typeahead", {}, icon("search"), input, list);
  const state = { tracks: [], at: -1, timer: 0, control: null };

  const close = () => {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    state.at = -1;
  };
  const choose = (track) => {
    close();
    input.value = "";
    input.blur();
    onChoose(track);
  };
  const highlight = (at) => {
    state.at = (at + state.tracks.length) % state.tracks.length;
    [...list.children].forEach((option, i) =>
      option.setAttribute("aria-selected", String(i === state.at)),
    );
    const option = list.children[state.at];
    input.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  };
  const show = (tracks) => {
    state.tracks = tracks;
    state.at = -1;
    const options = tracks.map((track, i) =>
      makeOption(track, `${name}-${i}`, () => choose(track)),
    );
    const none = element(
      "li.none",
      { role: "option", "aria-disabled": "true", "aria-selected": "false" },
      "No title or artist has these letters.",
    );
    list.replaceChildren(...(options.length ? options : [none]));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  };
  const look = async () => {
    state.control?.abort();
    if (!input.value.trim()) return close();
    state.control = new AbortController();
    try {
      show((await findTracks(input.value.trim(), 8, state.control.signal)).tracks);
    } catch (problem) {
      if (problem.name !== "AbortError") onProblem(problem);
    }
  };

  input.addEventListener("input", () => {
    clearTimeout(state.timer);
    state.timer = setTimeout(look, PAUSE_MS);
  });
  input.addEventListener("blur", () => setTimeout(close, 150));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") list.hidden ? input.blur() : close();
    else if (list.hidden || !state.tracks.length) return;
    else if (event.key === "ArrowDown") highlight(state.at + 1);
    else if (event.key === "ArrowUp") highlight(state.at - 1);
    else if (event.key === "Enter") choose(state.tracks[Math.max(0, state.at)]);
    else return;
    event.preventDefault();
  });
  return { root, focus: () => input.focus() };
}

function makeOption(track, id, choose) {
  return element(
    "li",
    {
      id,
      role: "option",
      "aria-selected": "false",
      on: { mousedown: (event) => (event.preventDefault(), choose()) },
    },
    element("span.title", {}, track.title),
    element("span.artist", {}, track.artist),
    element("span.length", {}, clock(track.duration_ms)),
  );
}
