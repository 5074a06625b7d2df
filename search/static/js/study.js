/** The listening study: the list, a rater's way through it, and its report. */

import { studies } from "./api.js";
import { button, count, element } from "./dom.js";
import { problemLine } from "./notices.js";
import { may } from "./session.js";
import { createStore } from "./store.js";
import { showReport } from "./study_report.js";
import { createRater } from "./study_rater.js";

const RIVALS = ["baseline", "random"];

const raterName = createStore("", "rater");

/**
 * Build the view.
 * @param {HTMLElement} root
 * @param {(more: Object) => void} remember Writes the study into the address.
 */
export function createStudy(root, remember) {
  async function open(studyId) {
    root.replaceChildren(element("div.skeleton.block"));
    try {
      if (studyId) await openStudy(await studies.get(studyId));
      else await showList();
    } catch (problem) {
      root.replaceChildren(problemLine(problem, () => open(studyId)));
    }
  }

  const goTo = (studyId) => (remember({ study: studyId }), open(studyId));

  async function showList() {
    const { studies: list, systems } = await studies.list();
    root.replaceChildren(
      element(
        "div.study-intro",
        {},
        element("h2", {}, "Listening studies"),
        element(
          "p",
          {},
          "Do the results sound alike to people? Raters choose sounds of their own, hear what several systems found for them, blinded and at one loudness, and rate each from 0 to 10.",
        ),
      ),
      list.length
        ? element("ul.studies", {}, ...list.map((study) => makeEntry(study, goTo)))
        : element(
            "p.empty",
            {},
            "There is no study yet. Begin one: three sounds and five results each take a rater a quarter of an hour.",
          ),
      may("admin")
        ? makeForm(goTo, systems)
        : element("p.hint", {}, "A person with an admin token can begin a study."),
    );
  }

  async function openStudy(study) {
    const back = button("All studies", { kind: "link", onclick: () => goTo(null) });
    const body = element("div.study-body");
    root.replaceChildren(back, element("h2", {}, study.name), body);
    body.replaceChildren(makeDoor(study, body));
  }

  /** Who is it? The name keeps one's place. */
  function makeDoor(study, body) {
    const name = element("input", {
      type: "text",
      value: raterName.value,
      required: true,
      maxLength: 60,
      id: "rater",
      autocomplete: "name",
    });
    const begin = async (event) => {
      event.preventDefault();
      raterName.set(name.value.trim());
      await createRater(body, study, raterName.value, () => showReport(body, study));
    };
    const form = element(
      "form.door.panel",
      { on: { submit: begin } },
      element("label", { htmlFor: "rater" }, "Your name or initials"),
      name,
      element("p.hint", {}, "With the same name you go on where you stopped."),
      button("Take part", { kind: "primary", type: "submit" }),
      may("admin")
        ? button("See the report", { onclick: () => showReport(body, study) })
        : null,
    );
    if (!may("rate")) form.querySelector(".primary").disabled = true;
    return form;
  }

  return { open };
}

function makeEntry(study, goTo) {
  const size = `${count(study.raters, "rater")} · ${count(study.queries, "sound")} · ${count(study.results, "result")} of each of ${study.systems.join(", ")}`;
  return element(
    "li.panel",
    {},
    element(
      "div",
      {},
      element("h3", {}, study.name),
      element("p.hint", {}, size),
    ),
    button("Open", { title: `Open ${study.name}`, onclick: () => goTo(study.study_id) }),
  );
}

function makeRival(name, ready) {
  const box = element("input", { type: "checkbox", name, checked: ready, disabled: !ready });
  return element("label.check", {}, box, `Beside production: ${name}`);
}

/** What is not loaded cannot be compared, and who may mend that sits at the server. */
function explainMissing(systems) {
  if (RIVALS.every((name) => systems.includes(name))) return null;
  return element(
    "p.hint",
    {},
    "The baseline has no windows here yet. To compare with it, run ",
    element("code", {}, "soundalike study new"),
    " once on the server: it loads them and begins a study. Or begin here without it.",
  );
}

function makeForm(goTo, systems) {
  const field = (label, name, value, most) =>
    element(
      "label",
      {},
      element("span", {}, label),
      element("input", { type: "number", name, value, min: 1, max: most, required: true }),
    );
  const trouble = element("div");
  const form = element(
    "form.new-study.panel",
    {},
    element("h3", {}, "Begin a study"),
    element(
      "label.wide",
      {},
      element("span", {}, "Name"),
      element("input", { type: "text", name: "name", required: true, maxLength: 80 }),
    ),
    field("Raters", "raters", 5, 100),
    field("Sounds each", "queries", 3, 20),
    field("Results of each system", "results", 5, 20),
    element(
      "div.rivals",
      { role: "group", "aria-label": "Compared with" },
      ...RIVALS.map((name) => makeRival(name, systems.includes(name))),
    ),
    explainMissing(systems),
    element(
      "p.hint",
      {},
      "The sound itself and a random track are planted among the results, so that careless ratings show.",
    ),
    button("Begin", { kind: "primary", type: "submit" }),
    trouble,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(form));
    try {
      const study = await studies.create({
        name: given.name,
        raters: Number(given.raters),
        queries: Number(given.queries),
        results: Number(given.results),
        systems: ["production", ...RIVALS.filter((name) => form.elements[name].checked)],
      });
      goTo(study.study_id);
    } catch (problem) {
      trouble.replaceChildren(problemLine(problem));
    }
  });
  return form;
}
