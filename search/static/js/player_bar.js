/** The bar at the foot: what plays, A or B, how loud. */

import { button, element, setIcon } from "./dom.js";
import {
  compare,
  length,
  looping,
  matchGain,
  onTick,
  play,
  playing,
  seek,
  toggle,
  volume,
} from "./player.js";
import { toast } from "./notices.js";
import { clock } from "./time.js";

/** Change decks, or say what is missing. */
export function compareOrSay() {
  if (!compare()) toast("Two sounds are needed: choose a query (A), then go to a result (B).");
}

/** Build the bar. */
export function createPlayerBar(root) {
  const playButton = button("Play or pause", {
    icon: "play",
    key: "Space",
    kind: "icon.round",
    onclick: toggle,
  });
  const sides = { a: makeSide("a"), b: makeSide("b") };
  const seekBar = element("input.seek", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.1,
    value: 0,
    "aria-label": "Position",
  });
  const time = element("span.time");
  const gain = element("span.gain");
  const loop = button("Loop the part", {
    icon: "loop",
    key: "l",
    kind: "icon",
    onclick: () => looping.set((on) => !on),
  });
  const loud = element("input.volume", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.05,
    value: volume.value,
    "aria-label": "Volume",
  });
  loud.addEventListener("input", () => volume.set(Number(loud.value)));
  seekBar.addEventListener("input", () => seek(1000 * Number(seekBar.value)));
  root.replaceChildren(
    playButton,
    element(
      "div.decks",
      { role: "group", "aria-label": "A and B, at the same loudness" },
      sides.a.root,
      sides.b.root,
    ),
    element("div.track", {}, seekBar, time),
    gain,
    loop,
    loud,
  );
  looping.subscribe((on) => loop.setAttribute("aria-pressed", String(on)));
  playing.subscribe(({ side, playing: on, clips }) => {
    root.hidden = !clips.a && !clips.b;
    document.body.classList.toggle("with-player", !root.hidden);
    setIcon(playButton, on ? "pause" : "play");
    for (const name of ["a", "b"]) sides[name].show(clips[name], side === name, on);
    root.dataset.side = side;
    const db = clips[side] ? matchGain(clips[side]) : 0;
    gain.textContent = `${db > 0 ? "+" : ""}${db.toFixed(1)} dB`;
    gain.title = "Gain that brings both to -23 LUFS";
  });
  onTick((side, clip, ms) => {
    const whole = length(side);
    if (Number.isFinite(whole)) seekBar.max = whole / 1000;
    seekBar.value = ms / 1000;
    seekBar.setAttribute("aria-valuetext", clock(ms));
    time.textContent = Number.isFinite(whole) ? `${clock(ms)} / ${clock(whole)}` : clock(ms);
  });
}

function makeSide(side) {
  const name = element("span.name");
  const root = element(
    `button.side-${side}`,
    { type: "button", "aria-keyshortcuts": "a", on: { click: () => choose(side) } },
    element(`span.badge.${side}`, {}, side.toUpperCase()),
    name,
  );
  return {
    root,
    show(clip, active, on) {
      name.textContent = clip ? clip.title : side === "a" ? "No query yet" : "No result yet";
      root.disabled = !clip;
      root.setAttribute("aria-pressed", String(active && on));
      root.classList.toggle("active", active);
    },
  };
}

function choose(side) {
  const now = playing.value;
  if (now.side === side) toggle();
  else if (now.playing) compare();
  else play(side);
}
