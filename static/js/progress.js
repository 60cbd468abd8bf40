// Shows uploads: one box each, with a bar and a way to cancel. And takes files that are dropped or pasted anywhere on the page.
import { upload } from "./upload.js";

// Calls onFiles(files) for what is dropped anywhere or chosen with an input of the zone.
export function takeFiles(onFiles) {
  let depth = 0;
  const over = (on) => document.body.toggleAttribute("data-dropping", on);
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  addEventListener("dragenter", (event) => { if (hasFiles(event)) over(++depth > 0); });
  addEventListener("dragleave", (event) => { if (hasFiles(event)) over(--depth > 0); });
  addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    over(false);
    onFiles([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const files = pasted(event);
    if (!files.length) return;
    event.preventDefault();
    onFiles(files);
  });
  for (const input of document.querySelectorAll("[data-drop-input]")) {
    input.addEventListener("change", () => {
      onFiles([...input.files]);
      input.value = "";
    });
  }
}

// Files, or the text of a config.json; what is pasted into a field is the field's.
function pasted({ target, clipboardData }) {
  if (clipboardData.files.length) return [...clipboardData.files];
  const text = clipboardData.getData("text");
  const inField = target.closest?.("input, textarea, [contenteditable], .xterm");
  return !inField && text.trimStart().startsWith("{") ? [new File([text], "config.json")] : [];
}

// Uploads with a box of its own; resolves with the upload, or null when it was cancelled or failed (the box says why).
export async function uploadShown(file, team, onCancel) {
  const box = newBox(file.name, onCancel);
  const cancelling = new AbortController();
  box.cancel = () => cancelling.abort();
  try {
    const started = performance.now();
    const done = await upload(file, { team, signal: cancelling.signal, onProgress: (received, size) => box.show(received, size, started) });
    box.ready("", `${octets(file.size)}, uploaded`);
    return { ...done, box };
  } catch (error) {
    if (cancelling.signal.aborted) box.remove();
    else box.fail(error.message);
    return null;
  }
}

export function newBox(name, onRemove) {
  const element = document.querySelector("[data-upload-mould]").content.firstElementChild.cloneNode(true);
  const part = (what) => element.querySelector(`[data-upload-${what}]`);
  element.setAttribute("aria-label", name);
  part("name").textContent = name;
  document.querySelector("[data-uploads]").append(element);
  const box = {
    element,
    cancel: () => {},
    remove: () => element.remove(),
    text: (text) => { part("text").textContent = text; },
    show(received, size, started) {
      const percent = size ? Math.floor((100 * received) / size) : 100;
      part("bar").setAttribute("width", `${percent}%`);
      const speed = received / Math.max(1, performance.now() - started) * 1000;
      box.text(`${percent} % of ${octets(size)} · ${octets(speed)}/s`);
    },
    ready(kind, text) {
      Object.assign(element.dataset, { kind, tone: "run" });
      element.querySelector(".ow-track")?.remove();
      box.text(text);
    },
    fail(message) {
      element.dataset.tone = "bad";
      element.querySelector(".ow-track")?.remove();
      box.text(message);
    },
  };
  part("cancel").addEventListener("click", () => {
    box.cancel();
    box.remove();
    onRemove?.();
  });
  return box;
}

export function octets(bytes) {
  const units = ["B", "KiB", "MiB", "GiB"];
  let size = bytes;
  let at = 0;
  while (size >= 1024 && at < units.length - 1) { size /= 1024; at += 1; }
  return `${at ? size.toPrecision(3) : Math.round(size)} ${units[at]}`;
}
