// Runs before the first paint, as a classic script in the head: theme and rail are right from the first pixel.
(function () {
  "use strict";
  const root = document.documentElement;
  /** @param {string} name */
  function stored(name) {
    try {
      return localStorage.getItem(name);
    } catch {
      return null; // storage may be forbidden; the page works without
    }
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function apply() {
    root.dataset.theme = stored("ralex.theme") || (dark.matches ? "dark" : "light");
  }
  apply();
  dark.addEventListener("change", function () {
    apply();
    root.dispatchEvent(new CustomEvent("ralex:theme"));
  });
  if (stored("ralex.rail") === "collapsed") root.dataset.rail = "collapsed";
  root.classList.add("js");
})();
