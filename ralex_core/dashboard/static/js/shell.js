/** The frame of every page: theme, rail, keys, filters, changes of view without a reload, demo, relative times. */

import { api, el, morph, readBoot, setText } from "./dom.js";
import { ago, exact } from "./format.js";
import { formQuery } from "./scope.js";

const root = document.documentElement;
let boot = readBoot();
/** Milliseconds the server's clock is ahead of ours; the live connection corrects it. */
let skewMs = 0;

/** @param {string} serverIso a time the server just wrote */
export function syncClock(serverIso) {
  skewMs = Date.parse(serverIso) - Date.now();
}

/** Now on the server's clock. */
export function nowUs() {
  return (Date.now() + skewMs) * 1000;
}

/** What the page shows now; replaced on every change of view. */
export function current() {
  return boot;
}

/** @param {string} name @param {string} value */
function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // storage may be forbidden; the choice then lasts for this page
  }
}

/** @type {Record<string, () => void>} */
const actions = {
  theme() {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    remember("ralex.theme", root.dataset.theme);
    root.dispatchEvent(new CustomEvent("ralex:theme"));
  },
  rail() {
    const collapsed = root.dataset.rail !== "collapsed";
    root.dataset.rail = collapsed ? "collapsed" : "open";
    remember("ralex.rail", root.dataset.rail);
    showRail();
  },
  palette() {
    typedAhead = "";
    void import("./palette.js").then((module) => {
      module.openPalette(typedAhead ?? "");
      typedAhead = null;
    });
  },
  keys() {
    void import("./palette.js").then((module) => module.openKeys());
  },
  "remove-demo"() {
    void during("remove-demo", async () => {
      await api("/api/v1/demo", { method: "DELETE" });
      location.assign("/");
    });
  },
  "start-demo"() {
    void during("start-demo", async () => {
      await api("/api/v1/demo", { method: "POST" });
      location.assign("/?range=24h"); // a day fills the charts; its last minutes alone would not
    });
  },
  pause() {
    document.getElementById("live")?.click();
  },
  refresh() {
    void visit(location.href, { push: false });
  },
};

/** @param {string} name */
export function act(name) {
  actions[name]?.();
}

/** Runs a slow action with its buttons disabled; says what went wrong beside it. @param {string} name @param {() => Promise<void>} work */
async function during(name, work) {
  const buttons = [...document.querySelectorAll(`[data-action="${name}"]`)].filter((node) => node instanceof HTMLButtonElement);
  buttons.forEach((button) => (button.disabled = true));
  root.classList.add("busy");
  try {
    await work();
  } catch (error) {
    buttons.forEach((button) => (button.disabled = false));
    root.classList.remove("busy");
    say(error instanceof Error ? error.message : String(error));
  }
}

/** A short message at the bottom of the page. @param {string} text */
export function say(text) {
  document.getElementById("toast")?.remove();
  const toast = el("p", { id: "toast", class: "toast", role: "status" }, text);
  document.body.append(toast);
  setTimeout(() => toast.remove(), 8000);
}

function showRail() {
  const collapsed = root.dataset.rail === "collapsed";
  document.querySelector('[data-action="rail"]')?.setAttribute("aria-expanded", String(!collapsed));
}

/** @type {AbortController | null} */
let visiting = null;

/**
 * Shows another view of the same page without a reload: fetches it and changes what differs. Another page is loaded.
 * @param {string} href @param {{push?: boolean, quiet?: boolean, skip?: string[]}} [options] quiet: a refresh nobody asked for
 */
export async function visit(href, { push = true, quiet = false, skip = [] } = {}) {
  if (quiet && visiting) return;
  visiting?.abort();
  const control = new AbortController();
  visiting = control;
  const slow = setTimeout(() => !quiet && root.classList.add("busy"), 200);
  try {
    const response = await fetch(href, { headers: { Accept: "text/html" }, signal: control.signal });
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    if (fresh.documentElement.dataset.page !== root.dataset.page) {
      if (!quiet) location.assign(href);
      return;
    }
    if (push) history.pushState(null, "", href);
    show(fresh, new Set(skip));
  } catch (error) {
    if (!control.signal.aborted && !quiet) say("The monitor does not answer. What you see is what was last known.");
  } finally {
    clearTimeout(slow);
    if (visiting === control) visiting = null;
    root.classList.remove("busy");
  }
}

/** @param {Document} fresh @param {Set<string>} skip */
function show(fresh, skip) {
  document.title = fresh.title;
  for (const id of ["scopebar", "main"]) {
    const old = document.getElementById(id);
    const wanted = fresh.getElementById(id);
    if (old && wanted && !(id === "scopebar" && old.matches(":focus-within") && skip.size)) morph(old, wanted, skip);
  }
  for (const item of document.querySelectorAll("[data-nav]")) {
    const wanted = fresh.querySelector(`[data-nav="${item.getAttribute("data-nav")}"]`);
    if (wanted) item.setAttribute("href", wanted.getAttribute("href") ?? "");
  }
  const data = document.getElementById("boot");
  if (data) data.textContent = fresh.getElementById("boot")?.textContent ?? "{}";
  boot = readBoot();
  document.dispatchEvent(new CustomEvent("ralex:view"));
}

/** @param {EventTarget | null} target @param {string} selector */
function closest(target, selector) {
  return target instanceof Element ? target.closest(selector) : null;
}

document.addEventListener("click", (event) => {
  const action = closest(event.target, "[data-action]")?.getAttribute("data-action");
  if (action) {
    event.preventDefault(); // some are forms that also work without scripts
    act(action);
    return;
  }
  const filter = closest(event.target, "[data-filter]");
  if (filter) {
    void import("./filters.js").then((module) => module.openFilters(filter, filter.getAttribute("data-filter") ?? ""));
    return;
  }
  const link = closest(event.target, "a[data-soft]");
  const plain = !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0;
  if (link instanceof HTMLAnchorElement && link.getAttribute("href") && plain) {
    event.preventDefault();
    void visit(link.href);
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement) || !form.matches("[data-soft]")) return;
  event.preventDefault();
  if (form.matches("[popover]")) form.hidePopover();
  const fields = /** @type {[string, string][]} */ ([...new FormData(form)].map(([name, value]) => [name, String(value)]));
  void visit(new URL(form.getAttribute("action") + formQuery(fields), location.href).href);
});

document.addEventListener("toggle", (event) => {
  const popover = event.target;
  if (popover instanceof HTMLElement && popover.id === "custom-range" && popover.matches(":popover-open")) place(popover, document.querySelector('[data-range="custom"]'));
}, true);

/** Puts a popover under what opened it, inside the page. @param {HTMLElement} popover @param {Element | null} anchor */
export function place(popover, anchor) {
  if (!anchor) return;
  const box = anchor.getBoundingClientRect();
  popover.style.margin = "0";
  popover.style.top = `${box.bottom + 6}px`;
  popover.style.left = `${Math.max(8, Math.min(box.left, innerWidth - popover.offsetWidth - 8))}px`;
}

addEventListener("popstate", () => void visit(location.href, { push: false }));

/** What is typed between the palette's key and its opening, which loads a module the first time. @type {string | null} */
let typedAhead = null;

/** First key of a two-key sequence, while it waits for the second. */
let prefix = "";

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    act("palette");
    return;
  }
  if (typedAhead !== null && event.key.length === 1) {
    event.preventDefault();
    typedAhead += event.key;
    return;
  }
  const typing = closest(event.target, "input, select, textarea, [contenteditable]") || document.querySelector("dialog[open]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (prefix === "g") {
    prefix = "";
    const page = { o: "overview", p: "operations", e: "performance", d: "database", c: "welcome", m: "monitor", r: "resources", t: "traces", a: "docs" }[event.key];
    const link = page ? document.querySelector(`[data-nav="${page}"]`) : null;
    if (link instanceof HTMLElement) link.click();
    return;
  }
  const ranges = [...document.querySelectorAll("[data-range]")];
  const range = ranges[Number(event.key) - 1];
  const find = document.querySelector("[data-find]");
  if (event.key === "g") {
    prefix = "g";
    setTimeout(() => (prefix = ""), 1200);
  } else if (event.key === "?") act("keys");
  else if (event.key === "t") act("theme");
  else if (event.key === "[") act("rail");
  else if (event.key === "r") act("refresh");
  else if (event.key === "f") pressed(document.querySelector('[data-filter=""]'), event);
  else if (event.key === "/" && find instanceof HTMLElement) {
    event.preventDefault();
    find.focus();
  } else if (event.key === "/") {
    event.preventDefault();
    act("palette");
  } else if (event.key === " " && !closest(event.target, "button, a, summary, [tabindex='0']")) {
    event.preventDefault();
    act("pause");
  } else if (range instanceof HTMLElement) range.click();
});

/** @param {Element | null} node @param {Event} event */
function pressed(node, event) {
  if (!(node instanceof HTMLElement)) return;
  event.preventDefault();
  node.click();
}

/** On a phone the pages are a row that scrolls: this one's entry comes into sight. */
function showPage() {
  const entry = document.querySelector('.nav-item[aria-current="page"]');
  const row = entry?.closest(".nav");
  if (!(entry instanceof HTMLElement) || !row || row.scrollWidth <= row.clientWidth) return;
  const [place, frame] = [entry.getBoundingClientRect(), row.getBoundingClientRect()];
  row.scrollLeft += place.left + place.width / 2 - frame.left - frame.width / 2;
}

/** Keeps "12 s ago" true. */
function tick() {
  if (document.hidden) return;
  const now = nowUs();
  for (const node of document.querySelectorAll("time[data-us]")) {
    const us = Number(node.getAttribute("data-us"));
    setText(node, ago(us, now));
    if (!node.hasAttribute("title")) node.setAttribute("title", exact(us, boot.timezone));
  }
}

setInterval(tick, 5000);
showRail();
showPage();
