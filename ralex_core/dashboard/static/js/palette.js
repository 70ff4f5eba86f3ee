/** The command palette (Ctrl/Cmd-K) and the list of keys (?). Loaded on first use. */

import { api, el, icon } from "./dom.js";
import { FILTERS, match, scopeOnly, withFilter } from "./scope.js";
import { act, current, visit } from "./shell.js";

/** @typedef {{title: string, hint: string, icon: string, run: () => void}} Command */

const KEYS = [
  ["Ctrl K or /", "Search and jump"],
  ["?", "These keys"],
  ["g o", "Overview"],
  ["g p", "Operations"],
  ["g e", "Performance"],
  ["g t", "Traces"],
  ["g d", "Database"],
  ["g c", "Connect"],
  ["g r", "Resources"],
  ["g m", "This monitor"],
  ["1 … 7", "Time ranges, left to right"],
  ["f", "Add a filter"],
  ["Space", "Pause or go on"],
  ["r", "Refresh"],
  ["t", "Dark or light"],
  ["[", "Collapse the rail"],
  ["← →", "Read a focused chart"],
  ["j k", "Down and up in a list"],
];

/** @returns {Command[]} */
function commands() {
  const pages = [...document.querySelectorAll("a[data-nav]")].map((link) => ({
    title: link.textContent?.trim() ?? "", hint: "Page", icon: link.getAttribute("data-nav") ?? "other", run: () => /** @type {HTMLElement} */ (link).click() }));
  const ranges = [...document.querySelectorAll("[data-range]")].map((link) => ({
    title: `Show ${link.textContent?.trim()}`, hint: "Time range", icon: "clock", run: () => /** @type {HTMLElement} */ (link).click() }));
  const scope = document.querySelector('[data-filter=""]');
  const filters = scope ? FILTERS.map((field) => ({
    title: `Filter by ${field.label.toLowerCase()}`, hint: "Filter", icon: "filter",
    run: () => void import("./filters.js").then((module) => module.openFilters(scope, field.param)) })) : [];
  const rest = [
    { title: "Dark or light", hint: "T", icon: "moon", run: () => act("theme") },
    ...(document.getElementById("live") ? [{ title: "Pause or go on", hint: "Space", icon: "pause", run: () => act("pause") }] : []),
    { title: "Collapse or open the rail", hint: "[", icon: "rail", run: () => act("rail") },
    { title: "Show the keys", hint: "?", icon: "help", run: () => act("keys") },
    ...(current().demo ? [{ title: "Remove demo data", hint: "Demo", icon: "flask", run: () => act("remove-demo") }] : []),
  ];
  return [...pages, ...ranges, ...filters, ...rest];
}

/** Models and projects in the view, as filters. @returns {Promise<Command[]>} */
async function values() {
  const scope = scopeOnly(location.search).slice(1);
  const lists = await Promise.all(["project", "model", "user"].map(async (param) => {
    /** @type {{value: string}[]} */
    const found = await api(`/api/v1/filters?field=${param}&${scope}`).catch(() => []);
    return found.slice(0, 60).map((item) => ({
      title: item.value, hint: `Filter: ${param}`, icon: "filter",
      run: () => void visit(new URL(withFilter(location.search, param, item.value), location.href).href) }));
  }));
  return lists.flat();
}

/** @param {string} typed what was typed before it opened */
export function openPalette(typed = "") {
  const known = commands();
  /** @type {Command[]} */
  let extra = [];
  /** @type {Command[]} */
  let shown = [];
  let at = 0;
  const input = el("input", { class: "palette-input", type: "text", placeholder: "Search pages, ranges, filters, operations…", role: "combobox", "aria-expanded": "true",
    "aria-controls": "palette-list", "aria-autocomplete": "list", "aria-label": "Search and jump", autocomplete: "off", spellcheck: "false" });
  const list = el("div", { class: "palette-list", id: "palette-list", role: "listbox", "aria-label": "Matches" });
  const dialog = open(el("dialog", { class: "dialog palette", "aria-label": "Search and jump" }, el("div", { class: "palette-head" }, icon("search"), input, el("kbd", {}, "Esc")), list));
  const render = () => {
    const typed = input.value.trim();
    const find = typed ? [{ title: `Find operations with “${typed}”`, hint: "Operations", icon: "search", run: () => findOperations(typed) }] : [];
    shown = [...match([...known, ...(typed ? extra : [])], typed, (item) => `${item.title} ${item.hint}`).slice(0, 12), ...find];
    at = Math.min(at, Math.max(0, shown.length - 1));
    list.replaceChildren(...shown.map((item, place) => el("div", { class: "palette-item", role: "option", id: `palette-${place}`, "aria-selected": String(place === at), onclick: () => run(item) },
      icon(item.icon), el("span", { class: "clip" }, item.title), el("span", { class: "muted" }, item.hint))));
    input.setAttribute("aria-activedescendant", `palette-${at}`);
    list.children[at]?.scrollIntoView({ block: "nearest" });
  };
  const run = (/** @type {Command | undefined} */ item) => {
    if (!item) return;
    dialog.close();
    item.run();
  };
  input.addEventListener("input", () => {
    at = 0;
    render();
  });
  input.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter") {
      event.preventDefault();
      run(shown[at]);
    } else if (step) {
      event.preventDefault();
      at = (at + step + shown.length) % Math.max(1, shown.length);
      render();
    }
  });
  input.value = typed;
  render();
  input.focus();
  if (document.querySelector('[data-filter=""]')) void values().then((found) => {
    extra = found;
    if (dialog.open) render();
  });
}

/** @param {string} typed */
function findOperations(typed) {
  const params = new URLSearchParams(scopeOnly(location.search));
  params.set("q", typed);
  location.assign(`/operations?${params}`);
}

export function openKeys() {
  const rows = KEYS.map(([keys = "", what = ""]) => el("div", {}, el("dt", {}, ...keys.split(" ").map((key) => (["or", "…"].includes(key) ? ` ${key} ` : el("kbd", {}, key)))), el("dd", {}, what)));
  const close = el("button", { type: "button", class: "button quiet small square", "aria-label": "Close" }, icon("close"));
  const dialog = open(el("dialog", { class: "dialog keys", "aria-label": "Keys" }, el("header", { class: "panel-head" }, el("h2", {}, "Keys"), close), el("dl", { class: "key-list" }, ...rows)));
  close.addEventListener("click", () => dialog.close());
}

/** @param {HTMLDialogElement} dialog */
function open(dialog) {
  document.querySelector("dialog.dialog")?.remove();
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.showModal();
  return dialog;
}
