/** The page about the monitor itself: asked for again while somebody looks. */

import { visit } from "./shell.js";

const EVERY_MS = 5000;

setInterval(() => {
  const reading = document.getSelection()?.toString();
  if (!document.hidden && !reading) void visit(location.href, { push: false, quiet: true });
}, EVERY_MS);
