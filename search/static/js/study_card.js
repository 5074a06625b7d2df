/** One blinded item: the rater's sound is A, what was found is B, and between them 0 to 10. */

import { audioUrl } from "./api.js";
import { button, element } from "./dom.js";
import { audition, compare, load, play, unload } from "./player.js";

const BEST = 10;

/**
 * Build the card.
 * @param {Object} query
 * @param {number} at Which of its items.
 * @param {?Object} source The rater's own file, where it is one.
 * @param {(rating: number, comment: string) => Promise<void>} onRate
 */
export function createCard(query, at, source, onRate) {
  const item = query.items[at];
  const name = `rating-${item.item_id}`;
  const choices = Array.from({ length: BEST + 1 }, (_, value) =>
    element(
      "label.choice-of",
      {},
      element("input", { type: "radio", name, value: String(value) }),
      element("span", {}, String(value)),
    ),
  );
  const comment = element("textarea", {
    rows: 2,
    maxLength: 1000,
    id: "comment",
    placeholder: "What is alike, or what is not (if you like)",
  });
  const save = button("Save and go on", {
    kind: "primary",
    key: "Enter",
    type: "submit",
    disabled: true,
  });
  const form = element(
    "form.panel.item",
    { "aria-label": `Item ${at + 1} of ${query.items.length}` },
    element("h3", {}, `How alike are A and B? Item ${at + 1} of ${query.items.length}`),
    element(
      "div.ab",
      {},
      button("Play your sound (A)", { kind: "quiet.a", key: "q", onclick: () => play("a") }),
      button("Play the item (B)", { kind: "quiet.b", key: "w", onclick: () => play("b") }),
      button("A or B", { key: "a", onclick: compare }),
    ),
    element(
      "fieldset.scale",
      {},
      element("legend", {}, "0 is nothing alike, 10 could be the same piece"),
      element("div.choices-of", {}, ...choices),
    ),
    element("label", { htmlFor: "comment" }, "Comment"),
    comment,
    element(
      "p.hint",
      {},
      "Keys: A changes between the two, 0 to 9 and T (ten) rate, Enter goes on.",
    ),
    save,
  );
  const select = (value) => {
    choices[value].firstChild.checked = true;
    save.disabled = false;
  };
  form.addEventListener("change", () => (save.disabled = !form.elements[name].value));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save.disabled = true;
    onRate(Number(form.elements[name].value), comment.value.trim()).finally(
      () => (save.disabled = false),
    );
  });
  form.addEventListener("keydown", (event) => press(event, { form, select, save }));
  form.tabIndex = -1;
  return {
    root: form,
    begin() {
      loadQuery(query, source);
      audition(clipOf(item, at));
      form.focus({ preventScroll: true });
    },
  };
}

function press(event, { form, select, save }) {
  if (event.target.tagName === "TEXTAREA" || event.ctrlKey || event.metaKey || event.altKey) return;
  const { key } = event;
  if (/^\d$/.test(key)) select(Number(key));
  else if (key === "t") select(BEST);
  else if (key === "q") play("a");
  else if (key === "w") play("b");
  else if (key === "Enter" && !save.disabled && event.target.tagName !== "BUTTON")
    form.requestSubmit();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

/** A track of the catalogue is known by its id; a file only this page has. */
function loadQuery(query, source) {
  const url = query.track_id ? audioUrl(query.track_id) : source?.url;
  if (!url) return unload("a"); // a file that was chosen before the page was loaded again
  return load("a", {
    key: `a:${url}`,
    url,
    startMs: query.start_ms,
    endMs: query.end_ms,
    gainDb: query.gain_db,
    title: "Your sound",
  });
}

function clipOf(item, at) {
  return {
    key: `item:${item.item_id}`,
    url: item.audio_url,
    startMs: item.start_ms,
    endMs: item.end_ms,
    gainDb: item.gain_db,
    title: `Item ${at + 1}`,
  };
}
