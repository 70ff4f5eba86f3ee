/** The statement: another period as soon as one is picked, the button that prints it, bills from OpenRouter, and the past
 * priced again, which asks once. */

import { api, setText } from "./dom.js";
import { usd } from "./format.js";

const printing = document.getElementById("print");
if (printing) {
  printing.hidden = false;
  printing.addEventListener("click", () => window.print());
}

const period = document.getElementById("period");
period?.addEventListener("change", () => {
  if (period instanceof HTMLFormElement && period.checkValidity()) period.submit();
});

/** @param {unknown} error */
const words = (error) => (error instanceof Error ? error.message : String(error));

const RECONCILIATIONS = "/api/v1/costs/reconciliations";
const ASK_EVERY_MS = 700;
const reconcile = document.getElementById("reconcile");
const reconciled = document.getElementById("reconcile-status");

reconcile?.addEventListener("click", () => {
  reconcile.toggleAttribute("disabled", true);
  setText(reconciled, "Asking OpenRouter …");
  void follow().catch((error) => {
    setText(reconciled, words(error));
    reconcile.toggleAttribute("disabled", false);
  });
});

/** Begin a reconciliation, and show the page again when it has ended. */
async function follow() {
  let run = await api(RECONCILIATIONS, { method: "POST", body: { trigger: "page" } });
  while (run.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
    run = await api(`${RECONCILIATIONS}/${run.id}`);
    setText(reconciled, `Asking OpenRouter: ${run.looked_up} calls looked up, ${run.billed} billed …`);
  }
  location.reload();
}

const reprice = document.getElementById("reprice");
const repriced = document.getElementById("reprice-status");
const frame = document.getElementById("reprice-frame");
const rows = document.getElementById("reprice-rows");
const asking = document.getElementById("reprice-ask");

reprice?.addEventListener("click", (event) => {
  const step = event.target instanceof Element ? event.target.closest("button[data-step]")?.getAttribute("data-step") : null;
  if (step === "see") void price(false);
  if (step === "ask" || step === "no") sure(step === "ask");
  if (step === "yes") void price(true);
});

/** @param {boolean} is */
function sure(is) {
  const first = asking?.querySelector('[data-step="ask"]');
  const second = asking?.querySelector('[data-step="sure"]');
  if (first instanceof HTMLElement) first.hidden = is;
  if (second instanceof HTMLElement) second.hidden = !is;
  const focus = asking?.querySelector(`[data-step="${is ? "yes" : "ask"}"]`);
  if (focus instanceof HTMLElement) focus.focus();
}

/** @param {boolean} apply */
async function price(apply) {
  const { from, to } = reprice?.dataset ?? {};
  setText(repriced, apply ? "Pricing them again …" : "Working it out …");
  try {
    const made = await api("/api/v1/costs/reprice", { method: "POST", body: { apply, from, to, by: "page" } });
    if (apply) {
      location.reload();
      return;
    }
    setText(
      repriced,
      made.changed_calls
        ? `${made.changed_calls} of ${made.examined_calls} calls would be priced differently: ${usd(made.before_usd)} in all before, ${usd(made.after_usd)} after.`
        : `All ${made.examined_calls} calls are priced as the price book has it now.`,
    );
    rows?.replaceChildren(...made.models.map(row));
    if (frame) frame.hidden = !made.changed_calls;
    if (asking) asking.hidden = !made.changed_calls;
    sure(false);
  } catch (error) {
    setText(repriced, words(error));
  }
}

/** @param {{ provider: string | null, model: string | null, calls: number, before_usd: string, after_usd: string }} change */
function row(change) {
  const line = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = [change.model ?? "not known", change.provider].filter(Boolean).join(" · ");
  line.append(head);
  for (const text of [String(change.calls), usd(change.before_usd), usd(change.after_usd)]) {
    const cell = document.createElement("td");
    cell.className = "number";
    cell.textContent = text;
    line.append(cell);
  }
  return line;
}
