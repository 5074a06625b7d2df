/** A rater's way through a study: choose a sound, hear what was found blindly, rate, again. */

import { studies } from "./api.js";
import { button, element } from "./dom.js";
import { announce, problemLine } from "./notices.js";
import { stop } from "./player.js";
import { may } from "./session.js";
import { prepare } from "./sources.js";
import { createChoice } from "./study_choice.js";
import { createCard } from "./study_card.js";

/**
 * Go on where the rater stopped.
 * @param {HTMLElement} root
 * @param {Object} study
 * @param {string} rater
 * @param {() => void} onReport
 */
export async function createRater(root, study, rater, onReport) {
  const progress = element("div.study-progress");
  const stage = element("div.study-stage");
  const trouble = element("div");
  let queries = [];
  let source = null; // a file of the rater's own, that only this page can play

  const fail = (problem, retry) => trouble.replaceChildren(problemLine(problem, retry));

  async function resume() {
    trouble.replaceChildren();
    try {
      ({ queries } = await studies.resume(study.study_id, rater));
      root.replaceChildren(progress, trouble, stage);
      goOn();
    } catch (problem) {
      root.prepend(trouble);
      fail(problem, resume);
    }
  }

  /** Find what is left: an item to rate, a sound to choose, or nothing. */
  function goOn() {
    const open = queries.find(({ items }) => items.some(({ rating }) => isOpen(rating)));
    showProgress(open);
    if (open)
      showItem(
        open,
        open.items.findIndex(({ rating }) => isOpen(rating)),
      );
    else if (queries.length < study.queries) showChoice();
    else finish();
  }

  function showProgress(open) {
    const done = queries
      .flatMap(({ items }) => items)
      .filter(({ rating }) => !isOpen(rating)).length;
    const each = queries[0]?.items.length ?? 1;
    const at = open ? queries.indexOf(open) + 1 : Math.min(queries.length + 1, study.queries);
    progress.replaceChildren(
      element("span", {}, `Sound ${at} of ${study.queries}`),
      element("progress", {
        max: study.queries * each,
        value: done,
        "aria-label": "How far you are",
      }),
    );
  }

  function showChoice() {
    const choice = createChoice(async (chosen, region, following) => {
      trouble.replaceChildren();
      source = chosen;
      const query = await start(chosen, region, following);
      queries = [...queries, query];
      goOn();
    }, fail);
    stage.replaceChildren(choice);
  }

  function start(chosen, region, following) {
    if (chosen.kind === "track") {
      const moment = { track_id: chosen.trackId, start_ms: region.startMs };
      return studies.start(study.study_id, { rater, ...moment });
    }
    const sent = prepare(chosen, region);
    return studies.startByFile(study.study_id, rater, sent.file, sent.region, following);
  }

  function showItem(query, at) {
    const item = query.items[at];
    const card = createCard(query, at, source, async (rating, comment) => {
      try {
        await studies.rate(study.study_id, { item_id: item.item_id, rater, rating, comment });
        Object.assign(item, { rating, comment });
        trouble.replaceChildren();
        announce(`Rated ${rating}.`);
        goOn();
      } catch (problem) {
        fail(problem);
      }
    });
    stage.replaceChildren(card.root);
    card.begin();
  }

  function finish() {
    stop();
    progress.replaceChildren();
    stage.replaceChildren(
      element(
        "div.study-end.panel",
        {},
        element("h3", {}, "That was all: thank you."),
        element(
          "p",
          {},
          `Your ratings are kept. What you heard was from ${study.systems.join(", ")}.`,
        ),
        may("admin")
          ? button("See the report", { kind: "primary", onclick: onReport })
          : null,
      ),
    );
    announce("That was all: thank you.");
  }

  await resume();
}

const isOpen = (rating) => rating === null || rating === undefined;
