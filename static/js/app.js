// What every page has. Pages load what they need beyond this by themselves.
import "./confirm.js";
import "./copy.js";
import "./live.js";
import "./menus.js";
import "./times.js";
import "./toasts.js";

// A session that has ended answers with the sign-in page.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (new URL(event.detail.xhr.responseURL).pathname === "/sign-in/") location.reload();
});

// An address in the bar shows what is filtered, not what is not.
document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.verb !== "get") return;
  const { parameters } = event.detail;
  for (const name of Object.keys(parameters)) if (parameters[name] === "") delete parameters[name];
});
