/** The catalogue as a map to wander in: near is alike, and what one points at plays. */

import { audioUrl, getMap, getPeaks } from "./api.js";
import { button, element } from "./dom.js";
import { createScene } from "./map_scene.js";
import { announce, problemLine, toast } from "./notices.js";
import { audition, playing, toggle } from "./player.js";
import { found, query } from "./searching.js";
import { createStore } from "./store.js";

const DWELL_MS = 140; // a pointer that rests, not one that passes
const KEY_STEP = 60;
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const hoverPlays = createStore(true, "hover");

/**
 * Build the map; it is fetched when it is opened.
 * @param {HTMLElement} root
 * @param {(trackId: string) => void} onSearch
 */
export function createMap(root, onSearch) {
  const canvas = element("canvas.map", {
    tabIndex: 0,
    role: "application",
    "aria-label":
      "Map of the catalogue. Arrow keys go from track to track, Enter plays, M searches from there, plus and minus zoom.",
  });
  const card = element("div.map-card", { hidden: true });
  const legend = element("div.legend", { role: "group", "aria-label": "Genres" });
  const caption = element("p.hint.caption");
  const stage = element("div.map-stage", {}, canvas, card, createTools());
  root.replaceChildren(element("div.map-head", {}, legend, createHoverBox()), stage, caption);

  let scene = null;
  let opening = null;
  let dwelling = 0;
  const state = { at: -1, hidden: new Set() };

  async function open() {
    if (scene) return paint();
    opening ??= load();
    await opening;
  }

  async function load() {
    stage.classList.add("skeleton");
    try {
      const { points, trustworthiness, model_version: version } = await getMap();
      if (!points.length)
        throw new Error(
          "There is no map yet: run the pipeline (make pipeline), it draws one for each model.",
        );
      scene = createScene(canvas, points);
      caption.textContent = `${points.length} tracks as model ${version} hears them. ${explainTrust(trustworthiness)}`;
      showLegend();
      paint();
    } catch (problem) {
      caption.replaceChildren(problemLine(problem, () => ((opening = null), open())));
    } finally {
      stage.classList.remove("skeleton");
    }
  }

  function paint() {
    if (!scene || !canvas.clientWidth) return;
    scene.draw({
      ...state,
      query: query.value.source?.trackId,
      found: new Set(found.value.items.map((one) => one.track_id)),
    });
  }

  function showLegend() {
    legend.replaceChildren(
      ...scene.genres.map((genre, kind) => {
        const chip = button(genre, {
          kind: `chip.kind-${kind}`,
          "aria-pressed": "true",
          onclick: () => flip(kind, chip),
        });
        return chip;
      }),
    );
  }

  function flip(kind, chip) {
    const hide = !state.hidden.has(kind);
    if (hide) state.hidden.add(kind);
    else state.hidden.delete(kind);
    chip.setAttribute("aria-pressed", String(!hide));
    paint();
  }

  /** Point at a track; it plays once one rests there. */
  function point(at, { speak = false, sound = hoverPlays.value } = {}) {
    if (at === state.at) return;
    state.at = at;
    clearTimeout(dwelling);
    card.hidden = at < 0;
    if (at >= 0) {
      const track = scene.points[at];
      showCard(track);
      if (speak) announce(`${track.title}, ${track.artist ?? ""}, ${track.genre ?? ""}`);
      if (sound && navigator.userActivation?.hasBeenActive !== false)
        dwelling = setTimeout(() => listen(track), DWELL_MS);
    }
    paint();
  }

  function showCard(track) {
    card.replaceChildren(
      element("b", {}, track.title),
      element("span.artist", {}, [track.artist, track.genre].filter(Boolean).join(" · ")),
      element(
        "div.map-acts",
        {},
        button("Play", { icon: "play", onclick: () => listen(track) }),
        button("Search from here", {
          icon: "more",
          key: "m",
          onclick: () => onSearch(track.track_id),
        }),
      ),
    );
  }

  canvas.addEventListener("keydown", (event) => {
    if (!scene || event.ctrlKey || event.metaKey) return;
    if (!press(event)) return;
    event.preventDefault();
    event.stopPropagation();
    paint();
  });

  function press({ key, shiftKey }) {
    const way = WAYS[key];
    const [x, y] = state.at >= 0 ? scene.place(state.at) : middle();
    if (way && shiftKey) scene.pan(-KEY_STEP * way[0], -KEY_STEP * way[1]);
    else if (way) walk(way);
    else if (key === "+" || key === "=") scene.zoomAt(x, y, 1.4);
    else if (key === "-") scene.zoomAt(x, y, 1 / 1.4);
    else if (key === "0") scene.reset();
    else if (key === "Enter" && state.at >= 0) listen(scene.points[state.at]);
    else if (key === "m" && state.at >= 0) onSearch(scene.points[state.at].track_id);
    else return false;
    return true;
  }

  const middle = () => [canvas.clientWidth / 2, canvas.clientHeight / 2];

  function walk(way) {
    const from = state.at >= 0 ? state.at : scene.findNearest(...middle(), 1e6);
    const next = state.at >= 0 ? scene.findTowards(from, way) : from;
    scene.show(next);
    point(next, { speak: true });
  }

  followPointers(canvas, {
    onHover: (x, y) => scene && point(scene.findNearest(x, y)),
    onTap: (x, y) => scene && tap(scene.findNearest(x, y, 26)),
    onPan: (dx, dy) => scene && (scene.pan(dx, dy), paint()),
    onZoom: (x, y, factor) => scene && (scene.zoomAt(x, y, factor), paint()),
  });

  function tap(at) {
    point(at, { sound: false });
    if (at >= 0) listen(scene.points[at]);
  }

  function createTools() {
    const zoom = (factor) => () =>
      scene && (scene.zoomAt(...middle(), factor), paint());
    return element(
      "div.map-tools",
      {},
      button("Zoom in", { icon: "plus", kind: "icon", onclick: zoom(1.5) }),
      button("Zoom out", { icon: "minus", kind: "icon", onclick: zoom(1 / 1.5) }),
    );
  }

  new ResizeObserver(paint).observe(stage);
  found.subscribe(paint);
  return { open, repaint: paint };
}

/** Play a track's excerpt. */
async function listen(track) {
  const key = `map:${track.track_id}`;
  if (playing.value.clips.b?.key === key) return playing.value.playing || toggle();
  try {
    const { excerpt } = await getPeaks(track.track_id);
    audition({
      startMs: excerpt.start_ms,
      endMs: excerpt.end_ms,
      lufs: excerpt.loudness_lufs,
      key,
      url: audioUrl(track.track_id),
      title: track.title,
      artist: track.artist,
    });
  } catch (problem) {
    toast(problem.message);
  }
  return undefined;
}

function explainTrust(value) {
  if (!Number.isFinite(value)) return "";
  return `Near means alike: ${Math.round(100 * value)} % of neighbourhoods survive being laid flat.`;
}

function createHoverBox() {
  const box = element("input", { type: "checkbox", checked: hoverPlays.value });
  box.addEventListener("change", () => hoverPlays.set(box.checked));
  return element("label.check", {}, box, "Play what I point at");
}

/** Read mouse, pen and fingers: hover, tap, drag, wheel and pinch. */
function followPointers(canvas, { onHover, onTap, onPan, onZoom }) {
  const down = new Map();
  let moved = 0;
  const where = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, where(event));
    if (down.size === 1) moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = where(event);
    const before = down.get(event.pointerId);
    if (!before) return event.pointerType === "mouse" && onHover(x, y);
    const apart = spread(down);
    down.set(event.pointerId, [x, y]);
    moved += Math.abs(x - before[0]) + Math.abs(y - before[1]);
    if (apart) onZoom(x, y, spread(down) / apart);
    else if (moved > 4) onPan(x - before[0], y - before[1]);
    return undefined;
  });
  const lift = (event) => {
    const tapped = down.delete(event.pointerId) && event.type === "pointerup" && moved <= 4;
    if (tapped) onTap(...where(event));
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      onZoom(...where(event), Math.exp(-event.deltaY / 400));
    },
    { passive: false },
  );
}

function spread(pointers) {
  if (pointers.size !== 2) return 0;
  const [[x1, y1], [x2, y2]] = pointers.values();
  return Math.hypot(x1 - x2, y1 - y2);
}
