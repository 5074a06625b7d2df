/** Several examples for and against: the search for what is like all of the ones and none of the others. */

import { button, element } from "./dom.js";
import { announce } from "./notices.js";
import { clear, examples, query, searchNow } from "./searching.js";
import { keyOf } from "./segments.js";
import { clock } from "./time.js";

/** Make a segment an example, one way or the other; the same again takes it back. */
export function addExample(segment, way) {
  const other = way === "likes" ? "dislikes" : "likes";
  const key = keyOf(segment);
  const without = (list) => list.filter((one) => keyOf(one) !== key);
  examples.set((given) => {
    const begun = given.likes.length || given.dislikes.length ? given : begin();
    const had = begun[way].some((one) => keyOf(one) === key);
    return {
      [other]: without(begun[other]),
      [way]: had ? without(begun[way]) : [...begun[way], name(segment)],
    };
  });
  searchAgain();
}

const name = ({ track_id, start_ms, title, artist }) => ({ track_id, start_ms, title, artist });

/** The part of the catalogue that was searched by is the first example; a file cannot be one. */
function begin() {
  const { source, region } = query.value;
  if (source?.kind !== "track") return { likes: [], dislikes: [] };
  return {
    likes: [
      {
        track_id: source.trackId,
        start_ms: region.startMs,
        title: source.title,
        artist: source.artist,
      },
    ],
    dislikes: [],
  };
}

function searchAgain() {
  const { likes, dislikes } = examples.value;
  announce(`${likes.length} examples for, ${dislikes.length} against.`);
  if (likes.length || query.value.source) searchNow();
  else clear();
}

/** Build the tray; it is there once there is an example. */
export function createExamples(root) {
  examples.subscribe(({ likes, dislikes }) => {
    if (!likes.length && !dislikes.length) return root.replaceChildren();
    const none = element(
      "p.hint",
      {},
      "Add one that you like (+): what is wanted cannot be told from what is not.",
    );
    const aside = element(
      "p.hint",
      {},
      "Your file is set aside: examples are tracks of the catalogue.",
    );
    root.replaceChildren(
      element(
        "section.panel.examples",
        { "aria-label": "Examples" },
        element("h2", {}, "Examples"),
        ...likes.map((one) => makeChip(one, "likes")),
        ...dislikes.map((one) => makeChip(one, "dislikes")),
        likes.length ? null : none,
        query.value.source?.kind === "file" ? aside : null,
        button("Back to one query", {
          kind: "link",
          onclick: () => (examples.set({ likes: [], dislikes: [] }), searchAgain()),
        }),
      ),
    );
  });
}

function makeChip(example, way) {
  const sign = way === "likes" ? "+" : "−";
  return element(
    `div.example.${way}`,
    {},
    element("span.sign", { title: way === "likes" ? "For" : "Against" }, sign),
    element(
      "span",
      {},
      element("b", {}, example.title ?? example.track_id),
      ` ${clock(example.start_ms)}`,
    ),
    button(`Take back ${example.title ?? example.track_id}`, {
      icon: "close",
      kind: "icon",
      onclick: () => addExample(example, way),
    }),
  );
}
