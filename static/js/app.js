// What every page has. Pages load what they need beyond this by themselves.
import "./confirm.js";
import "./copy.js";
import "./live.js";
import "./menus.js";
import "./times.js";
import "./toasts.js";

// An address in the bar shows what is filtered, not what is not.
document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get") return;
  const { parameters } = event.detail;
  for (const name of Object.keys(parameters)) if (parameters[name] === "") delete parameters[name];
});
