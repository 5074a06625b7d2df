/** What a result must be: genre, mood, length, and by whom not again. */

import { getFacets } from "./api.js";
import { button, element } from "./dom.js";
import { filters, NO_FILTERS, searchSoon } from "./searching.js";

const LENGTHS = [
  ["Any length", null, null],
  ["Under 2 min", null, 120_000],
  ["2 to 4 min", 120_000, 240_000],
  ["Over 4 min", 240_000, null],
];
const MOST_SHOWN = 12;

/** Change the filters and search again. */
export function filter(change) {
  filters.set((now) => ({ ...now, ...change }));
  searchSoon();
}

/** Leave an artist out from now on. */
export function hideArtist({ artist }) {
  if (!artist || filters.value.notArtists.includes(artist)) return;
  filter({ notArtists: [...filters.value.notArtists, artist] });
}

/** Build the panel. */
export function createFilters(root) {
  const count = element("span.count");
  const body = element("div.filter-groups");
  const reset = button("Clear the filters", {
    kind: "link",
    id: "clear-filters",
    onclick: () => filter(NO_FILTERS),
  });
  root.replaceChildren(
    element(
      "details.panel",
      { open: matchMedia("(min-width: 1100px)").matches },
      element("summary", {}, element("h2", {}, "Filters"), count),
      body,
      reset,
    ),
  );
  let facets = { genres: [], moods: [] };
  const render = (now) => {
    const chosen =
      now.genres.length +
      now.moods.length +
      now.notArtists.length +
      (now.minMs || now.maxMs ? 1 : 0);
    count.textContent = chosen ? String(chosen) : "";
    reset.hidden = !chosen;
    const focused = document.activeElement?.dataset?.name;
    body.replaceChildren(
      ...makeGroup("Genre", "genres", facets.genres, now.genres),
      ...makeGroup("Mood", "moods", facets.moods, now.moods),
      ...makeLengths(now),
      ...makeHidden(now.notArtists),
    );
    if (focused) body.querySelector(`[data-name="${CSS.escape(focused)}"]`)?.focus();
  };
  filters.subscribe(render);
  getFacets().then(
    (answer) => {
      facets = answer;
      render(filters.value);
    },
    () => {},
  );
}

function makeGroup(title, field, offered, chosen) {
  if (!offered.length) return [];
  const flip = (name) =>
    chosen.includes(name) ? chosen.filter((one) => one !== name) : [...chosen, name];
  const shown = offered.filter(({ name }, i) => i < MOST_SHOWN || chosen.includes(name));
  const chips = shown.map(({ name, tracks }) => {
    const chip = makeChip(name, `${field}-${name}`, chosen.includes(name), () =>
      filter({ [field]: flip(name) }),
    );
    chip.append(element("small", {}, String(tracks)));
    return chip;
  });
  return [group(title, ...chips)];
}

function makeLengths({ minMs, maxMs }) {
  const chips = LENGTHS.map(([label, least, most]) =>
    makeChip(label, label, minMs === least && maxMs === most, () =>
      filter({ minMs: least, maxMs: most }),
    ),
  );
  return [group("Length", ...chips)];
}

function makeHidden(artists) {
  if (!artists.length) return [];
  const chips = artists.map((artist) =>
    button(artist, {
      kind: "chip",
      icon: "close",
      title: `Show ${artist} again`,
      onclick: () => filter({ notArtists: artists.filter((one) => one !== artist) }),
    }),
  );
  return [group("Not again", ...chips)];
}

function makeChip(label, name, pressed, onclick) {
  return button(label, {
    kind: "chip",
    "aria-pressed": String(pressed),
    data: { name },
    title: label,
    onclick,
  });
}

function group(title, ...chips) {
  return element(
    "div.group",
    { role: "group", "aria-label": title },
    element("h3", {}, title),
    element("div.chips", {}, ...chips),
  );
}
