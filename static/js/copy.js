// Copies on a click: data-copy holds the text, data-copy-from a selector of the element that has it.
import { show } from "./toasts.js";

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const text = button.dataset.copy ?? document.querySelector(button.dataset.copyFrom).textContent;
  if (await copy(text)) {
    button.dataset.copied = "";
    setTimeout(() => delete button.dataset.copied, 1200);
    show(text.includes("\n") || text.length > 80 ? "Copied." : `Copied ${text}`);
  } else {
    show("This browser does not let the page copy. Select the text and copy it yourself.", "bad");
  }
});

// The clipboard API is there only on https and on localhost.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "ow-hidden";
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}
