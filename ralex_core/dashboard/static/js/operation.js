/** One operation: set what became of it, take a quarantined claim back, walk the trace with the arrow keys. */

import { api, setText } from "./dom.js";
import { walkable } from "./waterfall.js";

const outcomes = document.getElementById("outcomes");
const note = document.getElementById("outcome-note");

outcomes?.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-outcome]") : null;
  if (button) void setOutcome(button);
});

/** @param {Element} button */
async function setOutcome(button) {
  const outcome = button.getAttribute("data-outcome");
  const before = outcomes?.querySelector('[aria-pressed="true"]');
  press(button);
  try {
    await api(`/api/v1/operations/${encodeURIComponent(outcomes?.dataset.operation ?? "")}/outcome`, { method: "POST", body: { outcome } });
    setText(note, "Saved.");
  } catch (error) {
    press(before ?? null);
    setText(note, error instanceof Error ? error.message : String(error));
  }
}

/** @param {Element | null} chosen */
function press(chosen) {
  for (const button of outcomes?.querySelectorAll("[data-outcome]") ?? []) button.setAttribute("aria-pressed", String(button === chosen));
}

const accept = document.getElementById("accept");

accept?.addEventListener("click", (event) => {
  const step = event.target instanceof Element ? event.target.closest("[data-step]")?.getAttribute("data-step") : null;
  if (step === "ask" || step === "no") ask(step === "ask");
  if (step === "yes") void acceptClaim();
});

/** @param {boolean} asking */
function ask(asking) {
  const [first, sure] = ["ask", "sure"].map((step) => accept?.querySelector(`[data-step="${step}"]`));
  if (first instanceof HTMLElement) first.hidden = asking;
  if (sure instanceof HTMLElement) sure.hidden = !asking;
  const focus = accept?.querySelector(`[data-step="${asking ? "yes" : "ask"}"]`);
  if (focus instanceof HTMLElement) focus.focus();
}

async function acceptClaim() {
  const status = accept?.querySelector('[role="status"]');
  try {
    await api(`/api/v1/operations/${encodeURIComponent(accept?.dataset.operation ?? "")}/accept-claim`, { method: "POST" });
    location.reload();
  } catch (error) {
    ask(false);
    setText(status, error instanceof Error ? error.message : String(error));
  }
}

walkable(document.getElementById("waterfall"));
