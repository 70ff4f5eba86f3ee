/** The few DOM tools the pages share. Text is only ever set as text. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with attributes and children; strings become text.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, string | boolean | null | undefined | ((event: Event) => void)>} [attributes] `onclick` and the like are listeners; false and null are left out
 * @param {...(Node | string | null)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children) if (child !== null) node.append(child);
  return node;
}

/** @param {string} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${document.documentElement.dataset.sprite ?? ""}#${name}`);
  svg.append(use);
  return svg;
}

/** @param {string | null} tier */
export function swatch(tier) {
  return el("span", { class: "swatch", "data-tier": tier ?? "unknown", title: tier ? `${tier} tier` : "tier not known" });
}

/** Sets text only where it differs, so that nothing is laid out again for nothing. @param {Element | null | undefined} node @param {string} text */
export function setText(node, text) {
  if (node && node.textContent !== text) node.textContent = text;
}

/** @returns {import("./types.js").Boot} */
export function readBoot() {
  return JSON.parse(document.getElementById("boot")?.textContent ?? "{}");
}

/** @type {Map<string, string>} */
const painted = new Map();
/** @type {HTMLElement | null} */
let probe = null;

/**
 * A CSS colour as the canvas takes it: tokens and mixtures resolved for the theme of the moment.
 * @param {string} expression such as `var(--tier-cheap)`
 */
export function paint(expression) {
  const key = `${document.documentElement.dataset.theme} ${expression}`;
  let color = painted.get(key);
  if (color === undefined) {
    if (!probe) {
      probe = el("i", { hidden: true });
      document.body.append(probe);
    }
    probe.style.color = expression;
    color = getComputedStyle(probe).color;
    painted.set(key, color);
  }
  return color;
}

/**
 * A request to the API; the answer's `data`, or an Error whose message is the server's sentence.
 * @param {string} url @param {{method?: string, body?: unknown}} [options]
 * @returns {Promise<any>}
 */
export async function api(url, { method = "GET", body } = {}) {
  let response;
  try {
    response = await fetch(url, {
      method,
      headers: { Accept: "application/json", ...(method === "GET" ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? null : JSON.stringify(body),
    });
  } catch {
    throw new Error("The monitor does not answer. Is it still running?");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer?.data;
  const problem = answer?.error;
  throw new Error(problem ? `${problem.message} (request ${problem.request_id})` : `The monitor answered ${response.status}.`);
}

/**
 * Makes `old` look like `fresh` and touches only what differs: focus, scroll and charts survive.
 * A node with `data-morph="keep"` belongs to a script and is left alone. Children with `data-key` are matched by it.
 * @param {Element} old @param {Element} fresh @param {Set<string>} [skip] ids to leave alone
 */
export function morph(old, fresh, skip = new Set()) {
  if (old.getAttribute("data-morph") === "keep" || skip.has(old.id)) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !isOwn(old, name)) old.removeAttribute(name);
  for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value && !isOwn(old, name)) old.setAttribute(name, value);
  if (old instanceof HTMLInputElement && document.activeElement !== old && old.type !== "checkbox") old.value = fresh.getAttribute("value") ?? "";
  if (old instanceof HTMLInputElement && old.type === "checkbox") old.checked = fresh.hasAttribute("checked");
  if (old instanceof HTMLOptionElement) old.selected = fresh.hasAttribute("selected");
  morphChildren(old, fresh, skip);
}

/** State that scripts or the user set on an element; the server's copy knows nothing of it. @param {Element} node @param {string} name */
function isOwn(node, name) {
  return name === "aria-pressed" || name === "data-state" || (name === "open" && node.tagName === "DETAILS") || name === "value";
}

/** @param {Element} old @param {Element} fresh @param {Set<string>} skip */
function morphChildren(old, fresh, skip) {
  const keyed = new Map([...old.children].flatMap((child) => (keyOf(child) ? [[keyOf(child), child]] : [])));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = wanted instanceof Element ? keyOf(wanted) : null;
    let match = key ? (keyed.get(key) ?? null) : at;
    if (!key && match instanceof Element && keyOf(match)) match = null;
    if (match && match.nodeType === wanted.nodeType && match.nodeName === wanted.nodeName) {
      if (match !== at) old.insertBefore(match, at);
      else at = at.nextSibling;
      if (match instanceof Element && wanted instanceof Element) morph(match, wanted, skip);
      else if (match.nodeValue !== wanted.nodeValue) match.nodeValue = wanted.nodeValue;
    } else {
      old.insertBefore(document.importNode(wanted, true), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** @param {Element} node */
function keyOf(node) {
  return node.getAttribute("data-key") ?? (node.id || null);
}
