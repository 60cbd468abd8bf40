// Short messages in a corner: what was done, what was refused. `show` for scripts; the server sends them as the event opsweb:toast.
const SECONDS = { run: 5, bad: 12 };

export function show(text, tone = "run") {
  const toast = document.getElementById("toast").content.firstElementChild.cloneNode(true);
  toast.dataset.tone = tone;
  toast.querySelector("p").textContent = text;
  document.getElementById("toasts").append(toast);
  leaveLater(toast);
}

function leaveLater(toast) {
  const bad = toast.dataset.tone === "bad" || toast.dataset.tone === "error";
  let timer;
  const start = () => { timer = setTimeout(() => toast.remove(), 1000 * SECONDS[bad ? "bad" : "run"]); };
  toast.addEventListener("pointerenter", () => clearTimeout(timer));
  toast.addEventListener("pointerleave", start);
  start();
}

document.addEventListener("click", (event) => event.target.closest("[data-toast-close]")?.closest(".ow-toast").remove());
document.addEventListener("opsweb:toast", (event) => show(event.detail.text, event.detail.tone));
document.addEventListener("htmx:sendError", () => show("The panel does not answer. Nothing was done; try again.", "bad"));
document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  if (xhr.getResponseHeader("HX-Trigger")) return; // the server has said why
  const id = xhr.getResponseHeader("X-Request-ID");
  show(`That was not done (${xhr.status}). Reload the page and try again.${id ? ` Request ${id}.` : ""}`, "bad");
});
document.querySelectorAll("#toasts .ow-toast").forEach(leaveLater);
