/** The microphone as a source: until it is stopped, at most a minute. */

import { cut, decode, durationMs } from "./signal.js";
import { Problem } from "./api.js";
import { LONGEST_MS } from "./region.js";

const REFUSED =
  "The microphone cannot be used: allow it for this page in the browser's address bar, then record again.";

/**
 * Record.
 * @param {(ms: number, level: number) => void} onProgress Time passed and loudness, 0 to 1.
 * @returns {Promise<{stop: () => void, file: Promise<File>}>}
 */
export async function record(onProgress) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch {
    throw new Problem(REFUSED);
  }
  const recorder = new MediaRecorder(stream);
  const parts = [];
  const meter = follow(stream, onProgress, () => recorder.state === "recording" && recorder.stop());
  const file = new Promise((resolve, reject) => {
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      meter.close();
      stream.getTracks().forEach((track) => track.stop());
      finish(new Blob(parts, { type: recorder.mimeType })).then(resolve, reject);
    };
  });
  recorder.start();
  return { stop: () => recorder.state === "recording" && recorder.stop(), file };
}

/** Make a wav of it, which every part of the workflow reads. */
async function finish(blob) {
  const samples = await decode(blob);
  const wav = cut(samples, { startMs: 0, endMs: durationMs(samples) });
  const time = new Date().toTimeString().slice(0, 5);
  return new File([wav], `Recorded at ${time}.wav`, { type: "audio/wav" });
}

function follow(stream, onProgress, onFull) {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const levels = new Float32Array(analyser.fftSize);
  const began = performance.now();
  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(levels);
    const passed = performance.now() - began;
    onProgress(passed, Math.min(1, Math.max(...levels.map(Math.abs))));
    if (passed >= LONGEST_MS) onFull();
  }, 80);
  return {
    close() {
      clearInterval(timer);
      context.close();
    },
  };
}
