// The rules editor: add, remove, move by buttons and by Alt with the arrow keys; the server's sentences go under the rows.
const form = document.querySelector("[data-rules]");
const list = form.querySelector("[data-rule-rows]");
const rows = () => [...list.querySelectorAll("[data-rule-row]")];

function changed() {
  rows().forEach((row, index, all) => {
    row.querySelector("[data-rule-number]").textContent = index + 1;
    row.querySelector('[data-rule-move="-1"]').disabled = index === 0;
    row.querySelector('[data-rule-move="1"]').disabled = index === all.length - 1;
  });
}

function tell() {
  changed();
  form.dispatchEvent(new Event("input", { bubbles: true }));
}

function move(row, by) {
  const other = by < 0 ? row.previousElementSibling : row.nextElementSibling;
  if (!other) return;
  if (by < 0) other.before(row);
  else other.after(row);
  tell();
}

form.addEventListener("click", (event) => {
  const row = event.target.closest("[data-rule-row]");
  const step = event.target.closest("[data-rule-move]");
  if (event.target.closest("[data-rule-add]")) {
    list.append(form.querySelector("[data-rule-mould]").content.firstElementChild.cloneNode(true));
    tell();
    rows().at(-1).querySelector("select").focus();
  } else if (step) {
    move(row, Number(step.dataset.ruleMove));
    (step.disabled ? row.querySelector("[data-rule-move]:not(:disabled)") : step)?.focus();
  } else if (event.target.closest("[data-rule-remove]")) {
    const near = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    tell();
    (near?.querySelector("[data-rule-remove]") ?? form.querySelector("[data-rule-add]")).focus();
  }
});

form.addEventListener("keydown", (event) => {
  const row = event.target.closest("[data-rule-row]");
  if (!row || !event.altKey || !["ArrowUp", "ArrowDown"].includes(event.key)) return;
  event.preventDefault();
  const focused = document.activeElement;
  move(row, event.key === "ArrowUp" ? -1 : 1);
  focused.focus();
});

// Ports make sense with TCP and UDP alone.
form.addEventListener("change", (event) => event.target.name === "rule_protocol" && fitPorts(event.target.closest("[data-rule-row]")));

function fitPorts(row) {
  const ports = row.querySelector("[name=rule_ports]");
  const none = ["icmp", "any"].includes(row.querySelector("[name=rule_protocol]").value);
  ports.readOnly = none;
  ports.placeholder = none ? "–" : "any port";
  if (none) ports.value = "";
}

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.id !== "rules-plan") return;
  const sentences = [...event.target.querySelectorAll("[data-rule-sentences] li")].map((item) => item.textContent);
  rows().forEach((row, index) => { row.querySelector("[data-rule-words]").textContent = sentences[index] ?? ""; });
});

changed();
rows().forEach(fitPorts);
