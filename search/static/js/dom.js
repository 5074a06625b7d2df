/** Elements, made in one line and without markup in strings. */

/**
 * Make an element.
 * @param {string} name Tag, with classes after dots: "button.quiet".
 * @param {Object} [properties] `on` holds listeners, `data` the dataset; a property that the element
 *   has is set, anything else becomes an attribute; null and false leave it out.
 * @param {...(Node|string|null)} children
 * @returns {HTMLElement}
 */
export function element(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const made = document.createElement(tag);
  made.classList.add(...classes);
  for (const [key, value] of Object.entries(properties)) setProperty(made, key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function setProperty(target, key, value) {
  if (value === null || value === undefined) return;
  if (key === "on") {
    for (const [event, listener] of Object.entries(value)) target.addEventListener(event, listener);
  } else if (key === "data") Object.assign(target.dataset, value);
  else if (key in target && key !== "list" && key !== "form") target[key] = value;
  else if (value !== false) target.setAttribute(key, value === true ? "" : value);
}

/** Show an icon of the sprite. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `/static/img/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

/** Change which icon a button shows. */
export function setIcon(button, name) {
  button.querySelector("use").setAttribute("href", `/static/img/icons.svg#${name}`);
}

/**
 * Make a button.
 * @param {string} label Shown, or only spoken where there is an icon alone.
 * @param {{icon?: string, key?: string, kind?: string, onclick: Function}} options
 */
export function button(label, { icon: name, key, kind = "quiet", ...properties }) {
  const alone = kind.includes("icon");
  const hint = key ? `${label} (${key})` : label;
  const made = element(`button.${kind}`, {
    type: "button",
    title: hint,
    "aria-label": alone ? label : null,
    "aria-keyshortcuts": key ?? null,
    ...properties,
  });
  if (name) made.append(icon(name));
  if (!alone) made.append(element("span", {}, label));
  return made;
}

/** Say how many, in English. */
export const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

/** Draw on a canvas at the screen's own resolution; sizes are in CSS pixels. */
export function sizeCanvas(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Read a colour of the theme as it is now, light or dark. */
export function colour(name) {
  probe.style.color = `var(--${name})`;
  if (!probe.isConnected) document.body.append(probe);
  return getComputedStyle(probe).color;
}

const probe = element("span", { hidden: true });
