// Asks before something is destroyed: forms with data-confirm, sent by htmx or by the browser.
const dialog = document.getElementById("confirm");

export function ask({ title, text, action }) {
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-text").textContent = text;
  document.getElementById("confirm-do").textContent = action;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

const questionOf = ({ dataset }) => ({ title: dataset.confirmTitle, text: dataset.confirm, action: dataset.confirmDo });

document.addEventListener("htmx:confirm", async (event) => {
  const form = event.target.closest("[data-confirm]");
  if (!form) return;
  event.preventDefault();
  closeMenus(form);
  if (await ask(questionOf(form))) event.detail.issueRequest(true);
});

// A click on the backdrop is a "no".
dialog?.addEventListener("click", (event) => event.target === dialog && dialog.close("no"));

function closeMenus(inside) {
  inside.closest("details[data-menu]")?.removeAttribute("open");
}
