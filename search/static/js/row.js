/** One result: what it is, how it sounds, and what to do with it. */

import { button, element, setIcon } from "./dom.js";
import { audition, playing, toggle } from "./player.js";
import { createMarks } from "./ratings.js";
import { clipOf, keyOf } from "./segments.js";
import { createStrip } from "./strip.js";
import { clock, span } from "./time.js";

/**
 * Make a result's row.
 * @param {Object} segment As the API gives it.
 * @param {Object} acts `moreLike`, `like`, `unlike`, `keep`, `hideArtist`: what its buttons do.
 */
export function createRow(segment, acts) {
  const clip = clipOf(segment);
  const name = `row-${segment.rank}`;
  const strip = createStrip(
    {
      trackId: segment.track_id,
      durationMs: segment.duration_ms ?? segment.end_ms,
      startMs: segment.start_ms,
      endMs: segment.end_ms,
    },
    (ms) => audition(clip, ms),
  );
  const isOn = () => playing.value.side === "b" && playing.value.clips.b?.key === clip.key;
  const playOrPause = () => (isOn() && playing.value.playing ? toggle() : audition(clip));
  const playButton = button("Play from the match", {
    icon: "play",
    key: "Space",
    kind: "icon.round",
    onclick: playOrPause,
  });
  const marks = createMarks(segment);
  const actions = createActions(segment, acts);
  const root = element(
    "article.row",
    { tabIndex: -1, "aria-labelledby": name, data: { key: keyOf(segment) } },
    element("span.rank", { "aria-hidden": "true" }, String(segment.rank)),
    playButton,
    describe(segment, name),
    element(
      "div.sound",
      {},
      strip.root,
      element("span.when", {}, span(segment.start_ms, segment.end_ms)),
    ),
    createScore(segment),
    marks.root,
    actions.root,
    createVersions(segment, acts),
  );
  return {
    root,
    segment,
    clip,
    playOrPause,
    paint: strip.paint,
    showPlaying() {
      root.classList.toggle("on", isOn());
      setIcon(playButton, isOn() && playing.value.playing ? "pause" : "play");
      if (!isOn()) strip.showPosition(null);
    },
    showPosition: strip.showPosition,
    showRating: marks.show,
    showKept: actions.showKept,
    showExample: actions.showExample,
    /** Only the current row's buttons are stops of the tab key. */
    setCurrent(current) {
      root.tabIndex = current ? 0 : -1;
      root.classList.toggle("current", current);
      for (const inner of root.querySelectorAll("button")) inner.tabIndex = current ? 0 : -1;
    },
  };
}

function describe(segment, name) {
  const tags = [...segment.genres, ...segment.moods];
  return element(
    "div.what",
    {},
    element("h3", { id: name }, segment.title || segment.track_id),
    element("p.artist", {}, segment.artist ?? ""),
    element(
      "p.tags",
      {},
      ...tags.map((tag) => element("span.tag", {}, tag)),
      segment.duration_ms
        ? element("span.length", { title: "Length of the track" }, clock(segment.duration_ms))
        : null,
    ),
  );
}

function createScore({ similarity }) {
  const value = Math.round(similarity);
  const meter = element("span.meter", { "aria-hidden": "true" }, element("span"));
  meter.firstChild.style.width = `${value}%`;
  return element(
    "div.score",
    { title: `Similarity ${value} of 100` },
    element("span.unseen", {}, "Similarity "),
    element("b", {}, String(value)),
    meter,
  );
}

function createActions(segment, acts) {
  const like = button("More like this: an example for", {
    icon: "plus",
    key: "+",
    kind: "icon",
    onclick: () => acts.like(segment),
  });
  const unlike = button("Less like this: an example against", {
    icon: "minus",
    key: "-",
    kind: "icon",
    onclick: () => acts.unlike(segment),
  });
  const keep = button("Shortlist", {
    icon: "star",
    key: "s",
    kind: "icon",
    onclick: () => acts.keep(segment),
  });
  return {
    root: element(
      "div.actions",
      {},
      button("Search from here", {
        icon: "more",
        key: "m",
        kind: "icon",
        onclick: () => acts.moreLike(segment),
      }),
      like,
      unlike,
      keep,
      button("This artist not again", {
        icon: "ban",
        key: "x",
        kind: "icon",
        onclick: () => acts.hideArtist(segment),
      }),
    ),
    showKept(kept) {
      keep.setAttribute("aria-pressed", String(kept));
      setIcon(keep, kept ? "starred" : "star");
    },
    showExample(way) {
      like.setAttribute("aria-pressed", String(way === "likes"));
      unlike.setAttribute("aria-pressed", String(way === "dislikes"));
    },
  };
}

function createVersions({ versions }, acts) {
  if (!versions?.length) return null;
  const count = versions.length === 1 ? "1 more version" : `${versions.length} more versions`;
  return element(
    "details.versions",
    {},
    element("summary", {}, count),
    element(
      "ul",
      {},
      ...versions.map((version) =>
        element(
          "li",
          {},
          button(version.title || version.track_id, {
            kind: "link",
            onclick: () => acts.moreLike({ ...version, start_ms: null }),
          }),
          element("span.artist", {}, version.artist ?? ""),
        ),
      ),
    ),
  );
}
