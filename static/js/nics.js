// Rows of NICs: add, remove, and the next free address of the chosen network once a fixed one is wanted.
export function watchNics(form) {
  form.addEventListener("click", (event) => {
    const remove = event.target.closest("[data-nic-remove]");
    if (event.target.closest("[data-nic-add]")) addNic(form).querySelector("select").focus();
    if (!remove) return;
    const row = remove.closest("[data-nic-row]");
    const near = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    (near?.querySelector("select") ?? form.querySelector("[data-nic-add]")).focus();
    form.dispatchEvent(new Event("input", { bubbles: true }));
  });
  form.addEventListener("change", (event) => {
    const row = event.target.closest("[data-nic-row]");
    if (row && event.target.name !== "nic_address4") propose(form, row);
  });
}

function addNic(form) {
  const row = form.querySelector("[data-nic-mould]").content.firstElementChild.cloneNode(true);
  form.querySelector("[data-nic-rows]").append(row);
  return row;
}

// What a person typed stays; what was proposed follows the network.
function propose(form, row) {
  const address = row.querySelector("[name=nic_address4]");
  const { next = "" } = row.querySelector("[name=nic_network]").selectedOptions[0].dataset;
  if (row.querySelector("[name=nic_how]").value !== "fixed" || (address.value && address.value !== address.dataset.proposed)) return;
  address.value = address.dataset.proposed = after(next, takenIn(form, row));
}

const takenIn = (form, row) => [...form.querySelectorAll("[name=nic_address4]")].filter((field) => !row.contains(field)).map((field) => field.value);

function after(next, taken) {
  if (!next || !taken.includes(next)) return next;
  const parts = next.split(".");
  parts[3] = Number(parts[3]) + 1;
  return parts[3] < 255 ? after(parts.join("."), taken) : "";
}

// [{ network: "br0" or "", address: "" for DHCP }] for the command line.
export const nicsOf = (form) => [...form.querySelectorAll("[data-nic-row]")].map((row) => {
  const { value, textContent } = row.querySelector("[name=nic_network]").selectedOptions[0];
  const fixed = row.querySelector("[name=nic_how]").value === "fixed";
  return { network: value ? textContent.split(" · ")[0] : "", address: value && fixed ? row.querySelector("[name=nic_address4]").value.trim() : "" };
});
