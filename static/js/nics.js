// Rows of NICs: add, remove, the next free address of the chosen network once a fixed one is wanted, and what a config says of them.
const AS_IMAGE = "image";
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
    if (event.target.name === "nic_network") row.querySelector("[name=nic_address6]").value = "";
    if (row && event.target.name !== "nic_address4") propose(form, row);
    showAsImage(form);
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

// An image whose config speaks of bridged networking decides, until one says otherwise; `words`: what it says, "" for nothing.
export function setAsImage(form, words) {
  const row = onlyRow(form);
  for (const option of optionsAsImage(form)) option.hidden = option.disabled = !words;
  form.querySelector("[data-nic-image]").dataset.words = words;
  if (words && row && !row.value) row.value = AS_IMAGE;
  for (const select of form.querySelectorAll("[data-nic-rows] [name=nic_network]")) {
    if (!words && select.value === AS_IMAGE) select.value = "";
  }
  showAsImage(form);
}

function showAsImage(form) {
  const note = form.querySelector("[data-nic-image]");
  const isOn = [...form.querySelectorAll("[data-nic-rows] [name=nic_network]")].some(({ value }) => value === AS_IMAGE);
  if (note) note.textContent = isOn && note.dataset.words ? `It says: ${note.dataset.words}. A network that is missing is made.` : "";
}

const onlyRow = (form) => {
  const rows = form.querySelectorAll("[data-nic-rows] [name=nic_network]");
  return rows.length === 1 ? rows[0] : null;
};
const optionsAsImage = (form) => [
  ...form.querySelectorAll(`[data-nic-rows] option[value=${AS_IMAGE}]`),
  ...form.querySelector("[data-nic-mould]").content.querySelectorAll(`option[value=${AS_IMAGE}]`),
];

// A config's bridging (of config/check) as rows; where one of its networks is not there yet, the config itself decides.
export function fillNics(form, bridging) {
  const wishes = wishesOf(bridging);
  const onNetwork = wishes.filter(({ isOn }) => isOn);
  if (!onNetwork.length) return;
  const options = [...form.querySelector("[data-nic-mould]").content.querySelectorAll("[name=nic_network] option[data-next]")];
  const found = new Map(onNetwork.map((wish) => [wish, options.find((option) => fits(option.textContent.split(" · "), wish))]));
  form.querySelector("[data-nic-rows]").replaceChildren();
  if ([...found.values()].includes(undefined)) {
    addNic(form);
    setAsImage(form, onNetwork.map(({ bridge_name, ip_address }) => [bridge_name, ip_address].filter(Boolean).join(", ") || "br0").join("; "));
    return;
  }
  wishes.forEach((wish, number) => fillRow(addNic(form), wish, found.get(wish), number ? "" : bridging.tap_name ?? ""));
}

function fillRow(row, wish, option, name) {
  const set = (field, value) => { row.querySelector(`[name=nic_${field}]`).value = value ?? ""; };
  set("name", name);
  set("network", option?.value);
  set("how", wish.ip_address ? "fixed" : "");
  set("address4", wish.ip_address);
  set("address6", wish.ip_address ? wish.ipv6_address : "");
  row.querySelector("details").open = Boolean(wish.ip_address && wish.ipv6_address);
}

// RunConfig's own words are about the first NIC, as the server has it.
function wishesOf({ bridged, bridge_name, ip_address, ipv6_address, nics = [] }) {
  const said = Object.fromEntries(Object.entries({ bridge_name, ip_address, ipv6_address }).filter(([, value]) => value));
  const [first = {}, ...others] = nics;
  return [{ ...first, ...said }, ...others].map((wish, number, all) => {
    const isMute = number && !wish.bridge_name && !wish.ip_address && !wish.ipv6_address;
    return { ...wish, bridge_name: isMute ? all[0].bridge_name : wish.bridge_name, isOn: Boolean(bridged || nics[number]?.bridge_name) };
  });
}

const fits = ([name, cidr], { bridge_name: wanted, ip_address: address }) => (wanted ? name === wanted : address ? holds(cidr, address) : name === "br0");

function holds(cidr, address) {
  const [network, bits] = cidr.split("/");
  const block = (text) => Math.floor(text.split(".").reduce((sum, part) => 256 * sum + Number(part), 0) / 2 ** (32 - bits));
  return block(network) === block(address);
}

// [{ network: "br0" or "", address: "" for DHCP }] for the command line.
export const nicsOf = (form) => [...form.querySelectorAll("[data-nic-row]")].map((row) => {
  const { value, textContent } = row.querySelector("[name=nic_network]").selectedOptions[0];
  const fixed = row.querySelector("[name=nic_how]").value === "fixed";
  if (value === AS_IMAGE) return { network: "", address: "" };
  return { network: value ? textContent.split(" · ")[0] : "", address: value && fixed ? row.querySelector("[name=nic_address4]").value.trim() : "" };
});
