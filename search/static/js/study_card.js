/** One blinded item: the rater's sound is A, what was found is B, and between them 0 to 10. */

import { button, element } from "./dom.js";
import { audition, compare, load, play } from "./player.js";

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
      loadQuery(query.query, source);
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

function loadQuery(query, source) {
  if (query?.audio_url)
    load("a", {
      ...clipOf(query, 0),
      key: `a:${query.audio_url}`,
      title: "Your sound",
      gainDb: query.gain_db,
    });
  else if (source)
    load("a", {
      key: `a:${source.url}`,
      url: source.url,
      startMs: query?.start_ms ?? 0,
      endMs: query?.end_ms ?? 10_000,
      title: "Your sound",
      lufs: source.lufs,
    });
}

function clipOf(
  { item_id: id, audio_url: url, start_ms: startMs, end_ms: endMs, gain_db: gainDb },
  at,
) {
  return { key: `item:${id}`, url, startMs, endMs, gainDb, title: `Item ${at + 1}` };
}
