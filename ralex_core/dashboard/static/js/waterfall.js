/** A waterfall is walked with the arrow keys; Enter follows the link as it does everywhere. */

/** @param {HTMLElement | null} list */
export function walkable(list) {
  list?.addEventListener("keydown", (event) => {
    const spans = [...list.querySelectorAll("a.span")].filter((node) => node instanceof HTMLElement);
    const at = spans.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const wanted = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: spans.length - 1 }[event.key];
    if (wanted === undefined) return;
    event.preventDefault();
    spans[Math.max(0, Math.min(spans.length - 1, wanted))]?.focus();
  });
}
