/** The statement: another period as soon as one is picked, and the button that prints it. */

const printing = document.getElementById("print");
if (printing) {
  printing.hidden = false;
  printing.addEventListener("click", () => window.print());
}

const period = document.getElementById("period");
period?.addEventListener("change", () => {
  if (period instanceof HTMLFormElement && period.checkValidity()) period.submit();
});
