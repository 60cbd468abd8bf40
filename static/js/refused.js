// A form that came back with a refusal: what is to be mended is in view, and the keyboard is there.
export function showRefusal(form) {
  const error = form.querySelector(".ow-error");
  const field = error?.closest(".ow-field")?.querySelector(".ow-in") ?? error?.closest("[data-ports]")?.querySelector("[data-port-row]:last-child .ow-in");
  error?.scrollIntoView({ block: "center" });
  field?.focus({ preventScroll: true });
}
