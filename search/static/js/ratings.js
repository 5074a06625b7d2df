/** How good one finds a result, 1 to 5: kept in this browser, exported with the shortlist. */

import { button, element } from "./dom.js";
import { keyOf } from "./segments.js";
import { createStore } from "./store.js";

export const BEST = 5;
export const ratings = createStore({}, "ratings");

/** Rate a segment; the same again, or 0, takes it back. */
export function rate(segment, value) {
  const key = keyOf(segment);
  ratings.set((given) => {
    const { [key]: before, ...others } = given;
    return value && value !== before ? { ...others, [key]: value } : others;
  });
}

/** Make the five marks of a segment. */
export function createMarks(segment) {
  const marks = Array.from({ length: BEST }, (_, i) =>
    button(`Rate ${i + 1} of ${BEST}`, {
      kind: "mark",
      key: String(i + 1),
      onclick: () => rate(segment, i + 1),
    }),
  );
  marks.forEach((mark, i) => mark.replaceChildren(String(i + 1)));
  marks.forEach((mark, i) => mark.setAttribute("aria-label", `Rate ${i + 1} of ${BEST}`));
  return {
    root: element("div.marks", { role: "group", "aria-label": "Rating" }, ...marks),
    show() {
      const value = ratings.value[keyOf(segment)] ?? 0;
      marks.forEach((mark, i) => {
        mark.classList.toggle("on", i < value);
        mark.setAttribute("aria-pressed", String(i + 1 === value));
      });
    },
  };
}
