/** Everything by keyboard, and the sheet that shows it. */

import { button, element } from "./dom.js";

/**
 * @typedef {Object} Shortcut
 * @property {string[]} keys As `KeyboardEvent.key` names them.
 * @property {string} shown How the sheet shows them.
 * @property {string} label What they do.
 * @property {string} group Under which heading.
 * @property {string} [view] Only there.
 * @property {(event: KeyboardEvent) => void} run
 */

/**
 * Listen to the keyboard.
 * @param {Shortcut[]} shortcuts
 * @param {() => string} getView
 */
export function listen(shortcuts, getView) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    if (isPressing(event)) return;
    const found = shortcuts.find(
      ({ keys, view }) => keys.includes(event.key) && (!view || view === getView()),
    );
    if (!found) return;
    event.preventDefault();
    found.run(event);
  });
}

const isTyping = (target) =>
  target.closest("textarea, select, [contenteditable]") !== null ||
  (target.tagName === "INPUT" && !["checkbox", "radio"].includes(target.type));

/** Space and Enter belong to the button that has the focus. */
const isPressing = ({ key, target }) =>
  (key === " " || key === "Enter") && target.closest("button, a, summary, input") !== null;

/** Show the sheet. */
export function showSheet(shortcuts) {
  const groups = groupBy(shortcuts);
  const sheet = element("dialog.sheet", {
    "aria-labelledby": "sheet-title",
    on: { close: () => sheet.remove() },
  });
  const columns = [...groups].map(([group, list]) =>
    element(
      "section",
      {},
      element("h3", {}, group),
      element(
        "dl",
        {},
        ...list.flatMap(({ shown, label }) => [
          element("dt", {}, ...showKeys(shown)),
          element("dd", {}, label),
        ]),
      ),
    ),
  );
  const close = button("Close", { icon: "close", kind: "icon", onclick: () => sheet.close() });
  sheet.append(
    element("div.sheet-head", {}, element("h2", { id: "sheet-title" }, "Keyboard"), close),
    element("div.columns", {}, ...columns),
  );
  sheet.addEventListener("click", (event) => event.target === sheet && sheet.close());
  document.body.append(sheet);
  sheet.showModal();
}

const showKeys = (shown) => shown.split(" ").map((key) => element("kbd", {}, key));

function groupBy(shortcuts) {
  const groups = new Map();
  for (const shortcut of shortcuts) {
    if (!groups.has(shortcut.group)) groups.set(shortcut.group, []);
    groups.get(shortcut.group).push(shortcut);
  }
  return groups;
}
