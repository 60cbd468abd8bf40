// The create page: files become uploads, a config.json fills the form, the quota and the command line follow what is chosen.
import { newBox, takeFiles, uploadShown } from "./progress.js";
import { fillNics, nicsOf, setAsImage, watchNics } from "./nics.js";
import { showRefusal } from "./refused.js";
import { addRow, rowOf, rowsOf, watchPorts } from "./ports.js";
import { setSize, sizeOf, watchSize } from "./size.js";
import { call, kindOf } from "./upload.js";

const form = document.querySelector("[data-create]");
const { team } = form.dataset;
const hidden = (name) => form.querySelector(`[data-hidden=${name}]`);
const ofImage = () => form.querySelector("[name=image]:checked")?.dataset.bridging ?? ""; // what its config says of networks
const submit = form.querySelector("[data-create-submit]");
const WORDS = { program: "program · uploaded", archive: "its files and libraries · uploaded", config: "config · read" };
let running = 0;

watchSize(form);
watchPorts(form);
watchNics(form);
form.addEventListener("input", update);
form.addEventListener("change", (event) => {
  if (event.target.name === "image") chooseImage(event.target);
  update();
});
takeFiles((files) => files.forEach(take));
form.addEventListener("submit", (event) => {
  if (running) event.preventDefault();
  else submit?.setAttribute("aria-busy", "true");
});
addEventListener("pageshow", () => submit?.removeAttribute("aria-busy"));

async function take(file) {
  try {
    const kind = await kindOf(file);
    if (kind === "config") await takeConfig(await file.text(), file.name);
    else await takeUpload(file, kind);
  } catch (error) {
    newBox(file.name).fail(error.message);
  }
}

async function takeUpload(file, kind) {
  dropUpload(kind);
  proposeName(file.name);
  working(+1);
  const done = await uploadShown(file, team, () => clear(kind));
  working(-1);
  if (!done) return;
  hidden(kind).value = done.id;
  hidden(`${kind}_name`).value = done.filename;
  done.box.ready(kind, WORDS[kind]);
  for (const image of form.querySelectorAll("[name=image]:checked")) image.checked = false;
  if (!hidden("config").value) setAsImage(form, ofImage());
  update();
}

// One of each kind: a second program takes the first one's place.
function dropUpload(kind) {
  form.querySelector(`[data-kind=${kind}]`)?.remove();
  clear(kind);
}

function clear(kind) {
  hidden(kind).value = "";
  if (kind === "config") {
    showNotes();
    setAsImage(form, ofImage());
  }
  else hidden(`${kind}_name`).value = "";
  update();
}

function chooseImage(input) {
  for (const kind of ["program", "archive"]) dropUpload(kind);
  proposeName(input.dataset.name);
  setAsImage(form, ofImage());
}

function working(change) {
  running += change;
  submit?.toggleAttribute("disabled", running > 0);
  form.querySelector("[data-create-hint]").textContent = running ? "Waits for the upload; the rest can be filled in meanwhile." : "";
}

function proposeName(filename) {
  const field = form.elements.name;
  if (field.value && !field.dataset.proposed) return;
  field.value = filename.split("/").pop().split(".")[0].toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40).replace(/-$/, "") || "app";
  field.dataset.proposed = "yes";
}
form.elements.name.addEventListener("input", () => delete form.elements.name.dataset.proposed);

// The server reads the config; its answer fills the fields, and notes say what becomes of the rest.
async function takeConfig(text, name) {
  dropUpload("config");
  const box = newBox(name, () => clear("config"));
  try {
    const { config, notes } = await call("POST", "/api/v1/config/check", { text });
    box.ready("config", WORDS.config);
    hidden("config").value = text;
    fill(config);
    showNotes(notes);
  } catch (error) {
    const mend = error.fields?.mend?.[0] ?? "";
    box.fail(error.message.includes(mend) ? error.message : `${error.message} ${mend}`);
  }
  update();
}

function fill(config) {
  const { elements } = form;
  if (config.instance_name) elements.name.value = config.instance_name;
  if (config.vcpus || config.memory_mib) setSize(form, config.vcpus || sizeOf(form).vcpus, config.memory_mib || sizeOf(form).memory);
  if (config.args?.length) elements.args.value = config.args.map(quote).join(" ");
  if (config.env && Object.keys(config.env).length) elements.env.value = Object.entries(config.env).map((pair) => pair.join("=")).join("\n");
  if (config.nameservers?.length) elements.nameservers.value = config.nameservers.join(" ");
  if (config.bridging) fillNics(form, config.bridging);
  if (config.reboot_on_exit) elements.reboot_on_exit.checked = true;
  for (const [list, protocol] of [[config.ports, "tcp"], [config.udp_ports, "udp"]]) {
    for (const text of list ?? []) addRow(form, rowOf(text, protocol));
  }
  for (const fold of form.querySelectorAll("details[data-fold]")) {
    if ([...fold.querySelectorAll("textarea, input[type=text]")].some((field) => field.value)) fold.open = true;
  }
}

function showNotes(notes = []) {
  const box = form.querySelector("[data-config-notes]");
  box.hidden = !notes.length;
  box.querySelector("ul").replaceChildren(...notes.map(({ field, note }) => {
    const item = document.createElement("li");
    item.textContent = field ? `${field}: ${note}` : note;
    return item;
  }));
}

const WORD = /(?:[^\s'"\\]|'[^']*'|"(?:\\.|[^"\\])*"|\\.)+/g; // as a shell takes an argument, with its quotes
const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

function update() {
  showPlan();
  showCommand();
}

function showPlan() {
  const { vcpus, memory } = sizeOf(form);
  const addresses = nicsOf(form).filter(({ network }) => network).length;
  const wanted = { instances: 1, vcpus, memory_mib: memory, addresses, forwards: rowsOf(form).length };
  for (const meter of form.querySelectorAll("[data-plan]")) {
    const { plan, unit } = meter.dataset;
    const used = Number(meter.dataset.used), limit = Number(meter.dataset.limit);
    const [now, more] = meter.querySelectorAll("rect");
    const percent = (amount) => (limit ? Math.min(100, (100 * amount) / limit) : 100);
    now.setAttribute("width", `${percent(used)}%`);
    more.setAttribute("x", `${percent(used)}%`);
    more.setAttribute("width", `${percent(used + wanted[plan]) - percent(used)}%`);
    const total = used + wanted[plan];
    meter.dataset.tone = total > limit ? "bad" : "";
    const figure = (amount) => (unit === "MiB" && amount >= 1024 ? [Math.round((100 * amount) / 1024) / 100, "GiB"] : [amount, unit]);
    const whole = figure(limit);
    const short = ([number, unitOf]) => (unitOf === whole[1] ? number : `${number} ${unitOf}`);
    meter.querySelector("[data-plan-text]").textContent = `${short(figure(used))} → ${short(figure(total))} of ${whole.join(" ").trim()}${total > limit ? ", too much" : ""}`;
  }
}

function showCommand() {
  const { elements } = form;
  const { vcpus, memory } = sizeOf(form);
  const image = form.querySelector("[name=image]:checked")?.dataset.name;
  const name = elements.name.value.trim();
  const words = image ? ["opsweb", "instance", "create", quote(image)] : ["opsweb", "run", "-d"];
  if (hidden("config").value) words.push("-c", "config.json");
  if (name) words.push("-i", quote(name));
  words.push("-m", `${memory}m`, "--smp", vcpus);
  words.push(...networkWords(nicsOf(form)));
  for (const { text, protocol } of rowsOf(form)) words.push(protocol === "udp" ? "--udp" : "-p", quote(text));
  for (const line of elements.env.value.split("\n")) if (line.trim()) words.push("-e", quote(line.trim()));
  for (const word of elements.args.value.match(WORD) ?? []) words.push("-a", word);
  if (!image) words.push(`./${quote(hidden("program_name").value || "PROGRAM")}`);
  form.querySelector("[data-create-line]").textContent = words.join(" ");
}

// Flags speak of one NIC; several take a config.json.
function networkWords([first, ...others]) {
  if (others.some(({ network }) => network)) return ["-c", "config.json"];
  if (!first?.network) return [];
  return ["--bridged", "--bridgename", quote(first.network), ...(first.address ? ["--ip-address", first.address] : [])];
}

// What came along from another page, or came back with a refusal.
for (const [kind, words] of Object.entries(WORDS)) {
  if (hidden(kind).value) newBox(kind === "config" ? "config.json" : hidden(`${kind}_name`).value, () => clear(kind)).ready(kind, words);
}
if (!hidden("config").value) setAsImage(form, ofImage());
const brought = sessionStorage.getItem("opsweb-config");
if (brought) {
  sessionStorage.removeItem("opsweb-config");
  takeConfig(brought, "config.json");
}
update();
showRefusal(form);
