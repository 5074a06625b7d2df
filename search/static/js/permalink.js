/** A search, a view and its filters as an address that can be sent to a colleague. */

const seconds = (ms) => String(ms / 1000);
const ms = (text) => Math.round(1000 * Number(text));

/**
 * Read the address.
 * @returns {{view: string, study: ?string, segment: ?Object, likes: Object[], dislikes: Object[], filters: Object}}
 */
export function readAddress(search = location.search) {
  const given = new URLSearchParams(search);
  const track = given.get("track");
  return {
    view: given.get("view") ?? "search",
    study: given.get("study"),
    segment: track && {
      trackId: track,
      startMs: given.has("from") ? ms(given.get("from")) : null,
      endMs: given.has("to") ? ms(given.get("to")) : null,
    },
    likes: given.getAll("like").map(readExample),
    dislikes: given.getAll("unlike").map(readExample),
    filters: {
      genres: given.getAll("genre"),
      moods: given.getAll("mood"),
      notArtists: given.getAll("not"),
      minMs: given.has("longer") ? ms(given.get("longer")) : null,
      maxMs: given.has("shorter") ? ms(given.get("shorter")) : null,
    },
  };
}

/** Write an address; parts that are empty are left out. */
export function writeAddress({ view, study, segment, likes = [], dislikes = [], filters }) {
  const given = new URLSearchParams();
  if (view && view !== "search") given.set("view", view);
  if (study) given.set("study", study);
  if (segment && !likes.length) {
    given.set("track", segment.trackId);
    given.set("from", seconds(segment.startMs));
    given.set("to", seconds(segment.endMs));
  }
  likes.forEach((example) => given.append("like", writeExample(example)));
  dislikes.forEach((example) => given.append("unlike", writeExample(example)));
  filters?.genres.forEach((name) => given.append("genre", name));
  filters?.moods.forEach((name) => given.append("mood", name));
  filters?.notArtists.forEach((name) => given.append("not", name));
  if (filters?.minMs) given.set("longer", seconds(filters.minMs));
  if (filters?.maxMs) given.set("shorter", seconds(filters.maxMs));
  const text = given.toString();
  return text ? `/?${text}` : "/";
}

function readExample(text) {
  const at = text.lastIndexOf("@");
  return { trackId: text.slice(0, at), startMs: ms(text.slice(at + 1)) };
}

const writeExample = ({ trackId, startMs }) => `${trackId}@${seconds(startMs)}`;
