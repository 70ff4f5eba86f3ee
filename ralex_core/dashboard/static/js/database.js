/** The statements: rows open with a click; asked for again as often as their range says. */

import { current, visit } from "./shell.js";

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const row = target?.closest("tr[data-href]");
  if (!row || target?.closest("a, button") || getSelection()?.toString()) return;
  location.assign(row.getAttribute("data-href") ?? "");
});

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-copy]") : null;
  const code = button?.parentElement?.querySelector("code")?.textContent;
  const word = button?.querySelector("span");
  if (!code || !word) return;
  void navigator.clipboard.writeText(code).then(() => {
    word.textContent = "Copied";
    setTimeout(() => (word.textContent = "Copy"), 2000);
  });
});

/** @type {ReturnType<typeof setInterval> | undefined} */
let refreshing;

function schedule() {
  clearInterval(refreshing);
  const boot = current();
  const seconds = boot.refresh_s ?? (boot.range?.live ? 5 : null);
  if (!seconds) return;
  refreshing = setInterval(() => {
    if (!document.hidden && !getSelection()?.toString()) void visit(location.href, { push: false, quiet: true });
  }, seconds * 1000);
}

document.addEventListener("ralex:view", schedule);
schedule();
