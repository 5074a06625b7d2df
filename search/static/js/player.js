/** Two decks, A for the query and B for a result, of which one plays at a time, level-matched.
 *
 * Both keep their audio loaded, so that changing between them is instant. Web Audio sets the gain.
 */

import { createStore } from "./store.js";

const TARGET_LUFS = -23; // EBU R 128
const MOST_DB = 12;
const RAMP_S = 0.012; // a change of gain that is not heard as a click

/**
 * @typedef {Object} Clip
 * @property {string} url
 * @property {number} startMs Where the part begins that is compared.
 * @property {number} endMs
 * @property {string} title
 * @property {string} [artist]
 * @property {number} [lufs] Loudness; or
 * @property {number} [gainDb] the gain itself.
 * @property {string} key What tells clips apart.
 */

/** What plays: {side: "a"|"b", playing, clips: {a, b}}. */
export const playing = createStore({ side: "a", playing: false, clips: { a: null, b: null } });
export const looping = createStore(true, "loop");
export const volume = createStore(1, "volume");

/** Told when audio cannot be played. */
export const failures = { onFailure: () => {} };

const tickers = new Set();
let mixer = null;

const decks = { a: makeDeck("a"), b: makeDeck("b") };

function makeDeck(side) {
  const audio = new Audio();
  audio.preload = "auto";
  audio.dataset.deck = side;
  audio.addEventListener("ended", () => onEnded(side));
  audio.addEventListener("timeupdate", () => keepInside(side));
  audio.addEventListener("error", () => audio.getAttribute("src") && onError(side));
  document.body.append(audio);
  return { audio, gain: null };
}

/** Put a clip on a deck, without playing it. */
export function load(side, clip) {
  const { clips } = playing.value;
  const { audio } = decks[side];
  if (clips[side]?.url !== clip.url) {
    if (playing.value.side === side) stop();
    audio.src = clip.url;
  }
  playing.set((now) => ({ ...now, clips: { ...now.clips, [side]: clip } }));
  setGain(side);
}

/** Take what is on a deck off it. */
export function unload(side) {
  if (playing.value.side === side) stop();
  playing.set((now) => ({ ...now, clips: { ...now.clips, [side]: null } }));
}

/** Change what is known of a deck's clip: its part, its loudness. */
export function adjust(side, change) {
  const clip = playing.value.clips[side];
  if (clip) load(side, { ...clip, ...change });
}

/** Play a clip from its part on, or from another moment. */
export function play(side, fromMs) {
  const clip = playing.value.clips[side];
  if (!clip) return;
  connect();
  decks[side === "a" ? "b" : "a"].audio.pause();
  const { audio } = decks[side];
  audio.currentTime = (fromMs ?? clip.startMs) / 1000;
  start(side);
}

/** Put a clip on deck B and play it. */
export function audition(clip, fromMs) {
  load("b", clip);
  play("b", fromMs);
}

/** Put a clip on deck B, so that it is what plays next. */
export function cue(clip) {
  load("b", clip);
  decks.b.audio.currentTime = clip.startMs / 1000;
  playing.set((now) => ({ ...now, side: "b" }));
  tell();
}

/** Play on, or pause. */
export function toggle() {
  const { side, playing: on, clips } = playing.value;
  if (on) stop();
  else if (!clips[side]) play(side === "a" ? "b" : "a");
  else if (decks[side].audio.currentTime === 0) play(side);
  else {
    connect();
    start(side);
  }
}

/** Change to the other deck, at the same distance from the start of its part. */
export function compare() {
  const { side, clips } = playing.value;
  const other = side === "a" ? "b" : "a";
  if (!clips[other]) return false;
  const here = clips[side];
  const length = clips[other].endMs - clips[other].startMs;
  const passed = here ? Math.max(0, position(side) - here.startMs) : 0;
  play(other, clips[other].startMs + (passed < length ? passed : 0));
  return true;
}

/** Go to a moment of what is playing. */
export function seek(ms) {
  decks[playing.value.side].audio.currentTime = Math.max(0, ms / 1000);
  tell();
}

export function stop() {
  for (const { audio } of Object.values(decks)) audio.pause();
  playing.set((now) => ({ ...now, playing: false }));
}

/** Where a deck stands, in milliseconds. */
export const position = (side = playing.value.side) => 1000 * decks[side].audio.currentTime;

/** How long a deck's audio is, in milliseconds; NaN until known. */
export const length = (side = playing.value.side) => 1000 * decks[side].audio.duration;

/** Call with (side, clip, ms) while something plays, once a frame. */
export function onTick(ticker) {
  tickers.add(ticker);
  return () => tickers.delete(ticker);
}

/** The gain in dB that brings a clip to the common loudness. */
export function matchGain({ lufs, gainDb }) {
  if (gainDb !== undefined) return gainDb;
  return Number.isFinite(lufs) ? Math.min(TARGET_LUFS - lufs, MOST_DB) : 0;
}

function start(side) {
  playing.set((now) => ({ ...now, side, playing: true }));
  setGain(side);
  decks[side].audio.play().catch((error) => {
    if (error.name !== "AbortError") stop();
  });
  requestAnimationFrame(follow);
}

function follow() {
  if (!playing.value.playing) return;
  keepInside(playing.value.side);
  tell();
  requestAnimationFrame(follow);
}

function tell() {
  const { side, clips } = playing.value;
  for (const ticker of tickers) ticker(side, clips[side], position(side));
}

function keepInside(side) {
  const clip = playing.value.clips[side];
  const { audio } = decks[side];
  if (!clip || !looping.value || audio.paused || playing.value.side !== side) return;
  const ms = 1000 * audio.currentTime;
  if (ms >= clip.endMs && ms < clip.endMs + 1500) audio.currentTime = clip.startMs / 1000;
}

function onEnded(side) {
  if (playing.value.side !== side || !playing.value.playing) return;
  if (looping.value) play(side);
  else stop();
}

function onError(side) {
  if (playing.value.side === side) stop();
  failures.onFailure(playing.value.clips[side]);
}

/** Make the mixer at the first sound: browsers want a person's hand in it. */
function connect() {
  if (!mixer) {
    const context = new AudioContext();
    const master = context.createGain();
    master.connect(context.destination);
    mixer = { context, master };
    for (const deck of Object.values(decks)) {
      deck.gain = context.createGain();
      context.createMediaElementSource(deck.audio).connect(deck.gain).connect(master);
    }
    volume.subscribe((value) => master.gain.setTargetAtTime(value, context.currentTime, RAMP_S));
  }
  mixer.context.resume();
}

function setGain(side) {
  const clip = playing.value.clips[side];
  if (!mixer || !clip) return;
  const gain = 10 ** (matchGain(clip) / 20);
  decks[side].gain.gain.setTargetAtTime(gain, mixer.context.currentTime, RAMP_S);
}
