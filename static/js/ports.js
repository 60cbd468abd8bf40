// Rows of port forwards: add, remove, read.
export function watchPorts(form) {
  form.addEventListener("click", (event) => {
    const remove = event.target.closest("[data-port-remove]");
    if (event.target.closest("[data-port-add]")) addRow(form).querySelector("input").focus();
    if (!remove) return;
    const row = remove.closest("[data-port-row]");
    (row.nextElementSibling ?? row.previousElementSibling)?.querySelector("input")?.focus();
    row.remove();
    form.dispatchEvent(new Event("input", { bubbles: true }));
  });
}

export function addRow(form, { host = "", guest = "", protocol = "tcp" } = {}) {
  const row = form.querySelector("[data-port-mould]").content.firstElementChild.cloneNode(true);
  const [hostField, guestField] = row.querySelectorAll("input");
  hostField.value = host;
  guestField.value = guest;
  row.querySelector("select").value = protocol;
  form.querySelector("[data-port-rows]").append(row);
  return row;
}

export function rowsOf(form) {
  return [...form.querySelectorAll("[data-port-row]")].map((row) => {
    const [host, guest] = [...row.querySelectorAll("input")].map((input) => input.value.trim());
    return { text: guest && host && guest !== host ? `${host}:${guest}` : host || guest, protocol: row.querySelector("select").value };
  }).filter((row) => row.text);
}

// "18081:8080" of a config → a row; an address stays with the host's side.
export function rowOf(text, protocol) {
  const parts = String(text).split(":");
  const guest = parts.length > 1 && !parts.at(-2).includes(".") ? parts.pop() : "";
  return { host: parts.join(":"), guest, protocol };
}
