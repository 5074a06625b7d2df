/** Everything that is asked of the server, under /api/v1. */

const ROOT = "/api/v1";

/** What went wrong, in one sentence that ends with what to do. */
export class Problem extends Error {
  constructor(detail, { status = 0, code = "" } = {}) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** Called when the server wants a token. */
export const gate = { onLocked: () => {} };

function readProblem(status, body) {
  if (status === 401) gate.onLocked();
  const fallback = `The server answered ${status}: try again, or ask who runs it to look at its log.`;
  return new Problem(body?.detail ?? fallback, {
    status,
    code: body?.code ?? "",
  });
}

const OFFLINE =
  "The server cannot be reached: check that it runs (soundalike serve), then try again.";

async function request(path, { json, ...options } = {}) {
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers = { "Content-Type": "application/json" };
  }
  let response;
  try {
    response = await fetch(ROOT + path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(OFFLINE);
  }
  const body = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw readProblem(response.status, body);
  return body;
}

/** Send a form with its progress, which fetch cannot tell. */
function send(path, form, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open("POST", ROOT + path);
    xhr.responseType = "json";
    xhr.upload.onprogress = (event) => onProgress?.(event.loaded / event.total);
    xhr.upload.onload = () => onProgress?.(1);
    xhr.onload = () =>
      xhr.status < 400 ? resolve(xhr.response) : reject(readProblem(xhr.status, xhr.response));
    xhr.onerror = () => reject(new Problem(OFFLINE));
    xhr.onabort = () => reject(new DOMException("Cancelled", "AbortError"));
    signal?.addEventListener("abort", () => xhr.abort());
    xhr.send(form);
  });
}

/** The file goes last, so that the server knows all else before it arrives. */
function makeForm(fields, file) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, String(value));
  form.append("file", file, file.name);
  return form;
}

const id = encodeURIComponent;

export const search = (body, signal) =>
  request("/searches", { method: "POST", json: body, signal });

/**
 * Search by a file.
 * @param {Blob} file
 * @param {{start_ms: number, end_ms: number}} region
 * @param {Object} options Filters and k.
 * @param {{onProgress?: Function, signal?: AbortSignal}} following
 */
export function searchByFile(file, region, options, following) {
  const form = makeForm({ ...region, options: JSON.stringify(options) }, file);
  return send("/searches", form, following);
}

export const findTracks = (q, limit = 8, signal) =>
  request(`/tracks?q=${id(q)}&limit=${limit}`, { signal });
export const getTrack = (trackId) => request(`/tracks/${id(trackId)}`);
export const audioUrl = (trackId) => `${ROOT}/tracks/${id(trackId)}/audio`;
export const getFacets = () => request("/facets");
export const getModel = () => request("/models/active");
export const getMap = () => request("/map");

const peaks = new Map();

/** Ask for a track's waveform, once. */
export function getPeaks(trackId) {
  if (!peaks.has(trackId)) {
    const asked = request(`/tracks/${id(trackId)}/peaks`);
    asked.catch(() => peaks.delete(trackId));
    peaks.set(trackId, asked);
  }
  return peaks.get(trackId);
}

export const session = {
  get: () => request("/session"),
  open: (token) => request("/session", { method: "POST", json: { token } }),
  close: () => request("/session", { method: "DELETE" }),
};

export const studies = {
  list: () => request("/studies"),
  create: (study) => request("/studies", { method: "POST", json: study }),
  get: (study) => request(`/studies/${id(study)}`),
  resume: (study, rater) => request(`/studies/${id(study)}/raters/${id(rater)}`),
  rate: (study, rating) =>
    request(`/studies/${id(study)}/ratings`, { method: "PUT", json: rating }),
  report: (study) => request(`/studies/${id(study)}/report`),
  csvUrl: (study) => `${ROOT}/studies/${id(study)}/report.csv`,
  start: (study, query) =>
    request(`/studies/${id(study)}/queries`, { method: "POST", json: query }),
  startByFile(study, rater, file, region, following) {
    const form = makeForm({ rater, ...region }, file);
    return send(`/studies/${id(study)}/queries`, form, following);
  },
};
