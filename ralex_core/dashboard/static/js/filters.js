/** The filter picker: choose a field, then one of its values; the choice goes into the address. */

import { api, el, icon } from "./dom.js";
import { count } from "./format.js";
import { FILTERS, hasFilter, match, scopeOnly, withFilter, withoutFilter } from "./scope.js";
import { place, visit } from "./shell.js";

/** @type {HTMLElement | null} */
let menu = null;
/** @type {Element | null} */
let anchor = null;

/** @param {Element} from the button it opens under @param {string} field "" asks for the field first */
export function openFilters(from, field) {
  menu?.remove();
  anchor = from;
  menu = el("div", { class: "popover menu", popover: "auto", role: "dialog", "aria-label": "Add a filter" });
  document.body.append(menu);
  menu.addEventListener("toggle", (event) => {
    if (/** @type {ToggleEvent} */ (event).newState === "closed") menu?.remove();
  });
  menu.addEventListener("keydown", moveByArrows);
  menu.showPopover();
  if (field) void showValues(field);
  else showFields();
}

function showFields() {
  const items = FILTERS.map((field) => el("button", { type: "button", class: "menu-item", onclick: () => void showValues(field.param) }, el("span", {}, field.label), icon("right")));
  fill(el("p", { class: "menu-title" }, "Filter by"), ...items);
  items[0]?.focus();
}

/** @typedef {{value: string, operations: number}} Value */

/** The server answers at most this many; from there on it is asked again for what was typed. */
const ANSWERED = 100;
const TYPING_MS = 200;

/** @param {string} param @param {string} typed @returns {Promise<Value[]>} */
function ask(param, typed) {
  const query = new URLSearchParams(scopeOnly(location.search));
  query.delete(param); // alternatives of the field itself stay on offer
  query.set("field", param);
  if (typed) query.set("q", typed);
  return api(`/api/v1/filters?${query}`);
}

/** @param {string} param */
async function showValues(param) {
  const label = FILTERS.find((field) => field.param === param)?.label ?? param;
  const input = el("input", { class: "input", type: "search", placeholder: `${label}…`, "aria-label": `Search ${label.toLowerCase()}`, autocomplete: "off" });
  const list = el("div", { class: "menu-list" });
  fill(input, list);
  input.focus();
  /** @type {Value[]} */
  let values = [];
  const render = () => list.replaceChildren(...rows(param, label, values, input.value));
  const load = async () => {
    const typed = input.value;
    try {
      const found = await ask(param, typed);
      if (input.value !== typed) return;
      values = found;
      render();
    } catch (error) {
      list.replaceChildren(el("p", { class: "menu-note tone-bad" }, error instanceof Error ? error.message : String(error)));
    }
  };
  await load();
  const complete = values.length < ANSWERED;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let waiting;
  input.addEventListener("input", () => {
    render();
    clearTimeout(waiting);
    if (!complete) waiting = setTimeout(() => void load(), TYPING_MS);
  });
  input.addEventListener("keydown", (event) => {
    const first = list.querySelector("button");
    if (event.key === "Enter" && first) first.click();
  });
}

/** @param {string} param @param {string} label @param {Value[]} values @param {string} typed */
function rows(param, label, values, typed) {
  const found = match(values, typed, (item) => item.value).slice(0, ANSWERED);
  if (!found.length) return [el("p", { class: "menu-note" }, values.length ? "Nothing matches." : `No operation in this range names a ${label.toLowerCase()}.`)];
  return found.map((item) => {
    const active = hasFilter(location.search, param, item.value);
    return el("button", { type: "button", class: "menu-item", "aria-pressed": String(active), onclick: () => choose(param, item.value, active) },
      el("span", { class: "clip", title: item.value }, item.value || "not known"), active ? icon("check") : el("span", { class: "muted" }, count(item.operations)));
  });
}

/** @param {string} param @param {string} value @param {boolean} active */
function choose(param, value, active) {
  menu?.hidePopover();
  const query = active ? withoutFilter(location.search, param, value) : withFilter(location.search, param, value);
  void visit(new URL(query || location.pathname, location.href).href);
}

/** @param {...Node} nodes */
function fill(...nodes) {
  menu?.replaceChildren(...nodes);
  if (menu) place(menu, anchor);
}

/** @param {KeyboardEvent} event */
export function moveByArrows(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const box = /** @type {HTMLElement} */ (event.currentTarget);
  const items = [...box.querySelectorAll("input, button, a")].filter((node) => node instanceof HTMLElement);
  const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  event.preventDefault();
  items[(at + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length]?.focus();
}
