/** Who one is, where the server wants to know: a token, asked for once. */

import { gate, session } from "./api.js";
import { button, element } from "./dom.js";
import { createStore } from "./store.js";

/** {authentication: boolean, role: "listen"|"rate"|"admin"|null}. */
export const person = createStore({ authentication: false, role: null });

const RANKS = ["listen", "rate", "admin"];

/** Whether one may do what a role may. */
export const may = (role) =>
  !person.value.authentication || RANKS.indexOf(person.value.role) >= RANKS.indexOf(role);

/** Learn who one is, and ask for a token if nobody. */
export async function openSession() {
  gate.onLocked = askForToken;
  const leave = document.getElementById("sign-out");
  leave.addEventListener("click", async () => {
    await session.close();
    location.reload();
  });
  person.subscribe(({ authentication, role }) => (leave.hidden = !authentication || !role));
  try {
    person.set(await session.get());
  } catch {
    return; // what is asked next will say why
  }
  if (person.value.authentication && !person.value.role) askForToken();
}

function askForToken() {
  if (document.querySelector("dialog.token")) return;
  const input = element("input", {
    type: "password",
    autocomplete: "current-password",
    required: true,
    id: "token",
  });
  const trouble = element("p.problem", { role: "alert", hidden: true });
  const form = element(
    "form",
    {},
    element("h2", { id: "token-title" }, "Your token, please"),
    element(
      "label",
      { htmlFor: "token" },
      "This server is for people who have one; who runs it hands them out. It is asked for once.",
    ),
    input,
    trouble,
    button("Open", { kind: "primary", type: "submit" }),
  );
  const dialog = element("dialog.sheet.token", { "aria-labelledby": "token-title" }, form);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await session.open(input.value.trim());
      location.reload();
    } catch (problem) {
      trouble.textContent = problem.message;
      trouble.hidden = false;
      input.select();
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}
