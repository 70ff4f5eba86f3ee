/** The explorer: filters apply as they are chosen, rows open with a click, new operations are announced, not pushed in. */

import { setText } from "./dom.js";
import { count } from "./format.js";
import { Live } from "./live.js";
import { current, syncClock } from "./shell.js";

const TYPING_MS = 300;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing;

document.addEventListener("input", (event) => {
  const field = event.target;
  if (!(field instanceof HTMLElement)) return;
  const form = field.closest("form");
  if (field.matches("[data-submit]")) form?.requestSubmit();
  if (!field.matches("[data-find]")) return;
  clearTimeout(typing);
  typing = setTimeout(() => form?.requestSubmit(), TYPING_MS);
});

document.addEventListener("click", (event) => {
  const row = event.target instanceof Element ? event.target.closest("tr[data-href]") : null;
  const inLink = event.target instanceof Element && event.target.closest("a, button");
  if (!row || inLink || getSelection()?.toString()) return;
  location.assign(row.getAttribute("data-href") ?? "");
});

document.addEventListener("keydown", (event) => {
  if ((event.key !== "j" && event.key !== "k") || (event.target instanceof Element && event.target.closest("input, select, dialog"))) return;
  const links = [...document.querySelectorAll("#explorer tbody a.cell-link")].filter((node) => node instanceof HTMLElement);
  const at = links.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  links[Math.max(0, Math.min(links.length - 1, at + (event.key === "j" ? 1 : -1)))]?.focus();
});

let fresh = 0;

/** @param {import("./types.js").LiveMessage} message */
function onMessage(message) {
  syncClock(message.at);
  const boot = current();
  const range = boot.range;
  if (message.kind === "update" && range && range.key !== "custom") fresh += message.feed.filter((item) => item.started_us >= range.start_us).length;
  const link = document.getElementById("fresh");
  if (!link || !fresh) return;
  link.hidden = false;
  link.setAttribute("href", location.search || location.pathname);
  setText(link, `${count(fresh)} new, show`);
}

const indicator = document.getElementById("live");
const socket = current().ws;
if (socket) {
  const live = new Live(socket, onMessage, (state, ageMs) => {
    if (!indicator) return;
    indicator.dataset.state = state;
    const words = { live: "Live", connecting: "Connecting", paused: "Paused", reconnecting: "Reconnecting" };
    setText(indicator.querySelector(".live-word"), words[state] + (state === "live" || ageMs === null ? "" : ` · ${Math.round(ageMs / 1000)} s old`));
  });
  indicator?.addEventListener("click", () => live.togglePause());
  document.addEventListener("ralex:view", () => {
    fresh = 0;
    const url = current().ws;
    if (url) live.retarget(url);
  });
}
