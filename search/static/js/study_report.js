/** What a study found: means with their intervals, pairs, agreement, beside the paper. */

import { studies } from "./api.js";
import { button, count, element } from "./dom.js";
import { problemLine } from "./notices.js";

const BEST = 10;
const ROW_PX = 32; // of the plot, with the gap to the next

/** Show the report of a study. */
export async function showReport(root, study) {
  root.replaceChildren(element("div.skeleton.block"));
  try {
    const report = await studies.report(study.study_id);
    root.replaceChildren(
      ...(report.systems.length
        ? makeReport(report, study)
        : [element("p.empty", {}, "Nobody has rated yet: the report fills as ratings come in.")]),
    );
  } catch (problem) {
    root.replaceChildren(problemLine(problem, () => showReport(root, study)));
  }
}

function makeReport(report, study) {
  const careless = report.raters.filter((rater) => rater.careless);
  return [
    element("p.hint", {}, summarise(report)),
    element(
      "section.panel",
      { "aria-label": "Means" },
      element("h3", {}, "Mean opinion of similarity"),
      makePlot(report),
      makeMeans(report),
    ),
    report.paired.length ? makePairs(report.paired) : null,
    careless.length ? makeCareless(careless) : null,
    element(
      "a.button",
      { href: studies.csvUrl(study.study_id), download: "" },
      "All ratings as CSV",
    ),
    button("Print", { kind: "link", onclick: () => window.print() }),
  ].filter(Boolean);
}

function summarise({ raters, agreement }) {
  const ratings = raters.reduce((sum, rater) => sum + rater.ratings, 0);
  const alpha = agreement.krippendorff_alpha;
  const agreed = alpha === null ? "not known yet, too few heard the same" : alpha.toFixed(2);
  return `${count(raters.length, "rater")}, ${count(ratings, "rating")}. Agreement (Krippendorff's alpha): ${agreed}.`;
}

/** Dots with their intervals on a scale of 0 to 10, and a line where the paper's mean is. */
function makePlot({ systems, paper_mos: paper }) {
  const rows = systems.map(({ system, mos, low, high }) => {
    const range = element("span.range");
    const dot = element("span.dot");
    range.style.left = `${(100 * (low ?? mos)) / BEST}%`;
    range.style.width = `${(100 * ((high ?? mos) - (low ?? mos))) / BEST}%`;
    dot.style.left = `${(100 * mos) / BEST}%`;
    return element(
      "div.plot-row",
      {},
      element("span.system", {}, system),
      element("span.axis", {}, range, dot),
    );
  });
  const line = element("span.paper", {}, element("span", {}, `paper ${paper}`));
  line.style.left = `${(100 * paper) / BEST}%`;
  line.style.height = `${ROW_PX * systems.length}px`;
  return element(
    "div.plot",
    { "aria-hidden": "true" },
    ...rows,
    element(
      "div.plot-row.scale-row",
      {},
      element("span.system"),
      element("span.axis", {}, line, ...[0, 5, 10].map(makeTick)),
    ),
  );
}

function makeTick(value) {
  const tick = element("span.tick", {}, String(value));
  tick.style.left = `${(100 * value) / BEST}%`;
  return tick;
}

const interval = ({ low, high }) =>
  low === null ? "not known" : `${low.toFixed(1)} to ${high.toFixed(1)}`;

function makeMeans({ systems, paper_mos: paper }) {
  const rows = systems.map((one) => [
    one.system,
    one.mos.toFixed(2),
    interval(one),
    String(one.n),
  ]);
  return makeTable(
    ["System", "Mean", "95 % interval", "Ratings"],
    [...rows, ["the paper's users", String(paper), "not given", "not given"]],
  );
}

function makePairs(paired) {
  const rows = paired.map((one) => [
    `${one.system} over ${one.other}`,
    one.difference === null ? "not known" : one.difference.toFixed(2),
    interval(one),
    String(one.queries),
  ]);
  return element(
    "section.panel",
    { "aria-label": "Pairs" },
    element("h3", {}, "Compared on the same sounds"),
    makeTable(["Pair", "Difference", "95 % interval", "Sounds"], rows),
  );
}

function makeTable(head, rows) {
  return element(
    "div.table",
    { tabIndex: 0, role: "region", "aria-label": head[0] },
    element(
      "table",
      {},
      element(
        "thead",
        {},
        element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text))),
      ),
      element(
        "tbody",
        {},
        ...rows.map(([first, ...rest]) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, first),
            ...rest.map((text) => element("td", {}, text)),
          ),
        ),
      ),
    ),
  );
}

function makeCareless(raters) {
  const explain = ({ rater, gap }) =>
    element(
      "li",
      {},
      element("b", {}, rater),
      ` rated the sound itself ${Math.abs(gap).toFixed(1)} ${gap < 0 ? "below" : "above"} a random track.`,
    );
  return element(
    "section.panel",
    { "aria-label": "Raters to look at" },
    element("h3", {}, "Raters to look at"),
    element("ul", {}, ...raters.map(explain)),
  );
}
