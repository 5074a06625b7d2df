/** What is done to the samples of a file of one's own, before the server hears it. */

const RATE = 16_000; // what the encoder hears
const POINTS_PER_SECOND = 20;

/**
 * Decode a file to mono at 16 kHz.
 * @param {Blob} file
 * @returns {Promise<Float32Array>}
 * @throws {Error} Says what to do, when the browser cannot decode it.
 */
export async function decode(file) {
  const context = new OfflineAudioContext(1, 1, RATE);
  let decoded;
  try {
    decoded = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error(
      `${file.name ?? "This"} is not audio that can be read: choose a wav, flac, mp3 or ogg file.`,
    );
  }
  return mix(decoded);
}

function mix(decoded) {
  const mono = decoded.getChannelData(0);
  for (let channel = 1; channel < decoded.numberOfChannels; channel++) {
    const other = decoded.getChannelData(channel);
    for (let i = 0; i < mono.length; i++) mono[i] += other[i];
  }
  const scale = 1 / decoded.numberOfChannels;
  if (scale < 1) for (let i = 0; i < mono.length; i++) mono[i] *= scale;
  return mono;
}

export const durationMs = (samples) => Math.round((1000 * samples.length) / RATE);

/** Find the peaks, as the pipeline does for the catalogue. */
export function findPeaks(samples) {
  const hop = RATE / POINTS_PER_SECOND;
  const peaks = new Float32Array(Math.ceil(samples.length / hop));
  for (let i = 0; i < samples.length; i++) {
    const at = Math.floor(i / hop);
    const height = Math.abs(samples[i]);
    if (height > peaks[at]) peaks[at] = height;
  }
  return peaks;
}

const partOf = (samples, { startMs, endMs }) =>
  samples.subarray((startMs * RATE) / 1000, (endMs * RATE) / 1000);

/** Estimate the loudness of a part in LUFS, unweighted, until the server has measured it. */
export function estimateLoudness(samples, region) {
  const part = partOf(samples, region);
  let sum = 0;
  for (let i = 0; i < part.length; i++) sum += part[i] * part[i];
  return -0.691 + 10 * Math.log10(sum / part.length + 1e-10);
}

/** Cut a part out as a 16-bit wav. */
export function cut(samples, region) {
  const part = partOf(samples, region);
  const view = new DataView(new ArrayBuffer(44 + 2 * part.length));
  const text = (at, word) => [...word].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * part.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // one channel
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * part.length, true);
  part.forEach((sample, i) =>
    view.setInt16(44 + 2 * i, 32767 * Math.min(1, Math.max(-1, sample)), true),
  );
  return new File([view], "part.wav", { type: "audio/wav" });
}
