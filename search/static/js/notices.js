/** What is said to everyone: aloud to those who listen to the page, and as a line to those who see it. */

import { button, element } from "./dom.js";

const STAY_MS = 7000;

/** Say something to a screen reader. */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  announcer.textContent = "";
  requestAnimationFrame(() => (announcer.textContent = text));
}

/** Show a line for a while, with something to do about it. */
export function toast(text, action) {
  const line = element("div.toast", { role: "status" }, element("span", {}, text));
  const leave = () => line.remove();
  if (action) {
    line.append(button(action.label, { kind: "link", onclick: () => (leave(), action.do()) }));
  }
  line.append(button("Dismiss", { kind: "icon", icon: "close", onclick: leave }));
  document.getElementById("toasts").replaceChildren(line);
  setTimeout(leave, STAY_MS);
}

/** Make the line of an error: what happened and what to do. */
export function problemLine(problem, retry) {
  return element(
    "div.problem",
    { role: "alert" },
    element("p", {}, problem.message),
    retry ? button("Try again", { onclick: retry }) : null,
  );
}
