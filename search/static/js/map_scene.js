/** The map's points: where they are on the screen, which is nearest, and how they are drawn. */

import { colour, sizeCanvas } from "./dom.js";

const COLOURS = 8;
const REACH = 16; // pixels within which the pointer means a point
const MARGIN = 28;
const ROOMY = 600; // pixels: on narrower canvases points are as small as those of a large catalogue
const CROWD = 20_000; // beyond so many, points are squares: quicker to fill

/** Give each of the commonest genres a colour of its own. */
export function rankGenres(points) {
  const counts = new Map();
  for (const { genre } of points) counts.set(genre ?? "", (counts.get(genre ?? "") ?? 0) + 1);
  counts.delete("");
  return [...counts]
    .sort((a, b) => b[1] - a[1])
    .slice(0, COLOURS)
    .map(([name]) => name);
}

/**
 * Make a scene.
 * @param {HTMLCanvasElement} canvas
 * @param {Object[]} points As the API gives them.
 */
export function createScene(canvas, points) {
  const genres = rankGenres(points);
  const kinds = points.map(({ genre }) => genres.indexOf(genre));
  const camera = { zoom: 1, x: 0.5, y: 0.5 };

  const scale = () =>
    (Math.min(canvas.clientWidth, canvas.clientHeight) - 2 * MARGIN) * camera.zoom;
  const place = ({ x, y }) => [
    canvas.clientWidth / 2 + (x - camera.x) * scale() * stretch(),
    canvas.clientHeight / 2 + (y - camera.y) * scale(),
  ];
  /** A map is as wide as its canvas. */
  const stretch = () =>
    Math.max(1, (canvas.clientWidth - 2 * MARGIN) / (canvas.clientHeight - 2 * MARGIN || 1));

  function zoomAt(px, py, factor) {
    const zoom = Math.min(60, Math.max(1, camera.zoom * factor));
    const by = 1 / scale();
    camera.zoom = zoom;
    const shift = by - 1 / scale();
    camera.x += ((px - canvas.clientWidth / 2) * shift) / stretch();
    camera.y += (py - canvas.clientHeight / 2) * shift;
    hold();
  }

  function pan(dx, dy) {
    camera.x -= dx / (scale() * stretch());
    camera.y -= dy / scale();
    hold();
  }

  /** Never lose the map out of sight. */
  function hold() {
    const slack = 0.5 - 0.5 / camera.zoom;
    camera.x = Math.min(0.5 + slack, Math.max(0.5 - slack, camera.x));
    camera.y = Math.min(0.5 + slack, Math.max(0.5 - slack, camera.y));
  }

  function findNearest(px, py, reach = REACH) {
    let best = { at: -1, far: reach * reach };
    points.forEach((point, at) => {
      const [x, y] = place(point);
      const far = (x - px) ** 2 + (y - py) ** 2;
      if (far < best.far) best = { at, far };
    });
    return best.at;
  }

  /** The nearest point in a direction, for the arrow keys. */
  function findTowards(from, [dx, dy]) {
    const [x0, y0] = place(points[from]);
    let best = { at: from, cost: Infinity };
    points.forEach((point, at) => {
      const [x, y] = place(point);
      const along = (x - x0) * dx + (y - y0) * dy;
      const aside = Math.abs((x - x0) * dy) + Math.abs((y - y0) * dx);
      const cost = along + 2 * aside;
      if (at !== from && along > 0.5 && cost < best.cost) best = { at, cost };
    });
    return best.at;
  }

  /** Bring a point into sight. */
  function show(at) {
    const [x, y] = place(points[at]);
    const outside = x < 0 || y < 0 || x > canvas.clientWidth || y > canvas.clientHeight;
    if (!outside) return;
    Object.assign(camera, { x: points[at].x, y: points[at].y });
    hold();
  }

  /** @param {{at: number, hidden: Set<number>, query: ?string, found: Set<string>}} marks */
  function draw({ at, hidden, query, found }) {
    const { context, width, height } = sizeCanvas(canvas);
    const roomy = points.length < 500 && width > ROOMY;
    const radius = Math.min(7, 2.2 + 1.2 * Math.log2(1 + camera.zoom) + (roomy ? 1.6 : 0));
    const palette = [...Array(COLOURS).keys()].map((i) => colour(`kind-${i}`));
    const other = colour("kind-other");
    const square = points.length > CROWD;
    for (let i = 0; i < points.length; i++) {
      if (hidden.has(kinds[i])) continue;
      const [x, y] = place(points[i]);
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
      context.fillStyle = palette[kinds[i]] ?? other;
      if (square) context.fillRect(x - 1.5, y - 1.5, 3, 3);
      else disc(context, x, y, radius);
    }
    points.forEach((point, i) => {
      if (found.has(point.track_id)) ring(context, place(point), radius + 3, colour("match"));
      if (point.track_id === query) ring(context, place(point), radius + 4, colour("query"));
      if (i === at) ring(context, place(point), radius + 6, colour("text"));
    });
  }

  return {
    points,
    genres,
    zoomAt,
    pan,
    findNearest,
    findTowards,
    show,
    draw,
    place: (at) => place(points[at]),
    reset: () => Object.assign(camera, { zoom: 1, x: 0.5, y: 0.5 }),
  };
}

function disc(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

function ring(context, [x, y], radius, style) {
  context.strokeStyle = style;
  context.lineWidth = 2;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.stroke();
}
