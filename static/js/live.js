// Keeps fragments true: an element with data-live="instance:<id> image:*" and data-url is fetched again when the server says that one of
// these changed. Events name things, never content; a lost one costs nothing, because every reconnect refreshes all.
import { show } from "./toasts.js";

const BATCH_MS = 60; // events of one change come together
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15000;
const SILENT_MS = 2500; // a shorter break is nobody's business

const pending = new Set(); // ids of fragments that wait for the batch
const busy = new Map(); // id → what was said to have changed while it was fetched
let timer = 0;
let retry = FIRST_RETRY_MS;

const fragments = () => [...document.querySelectorAll("[data-live][data-url]")];

function hears(fragment, changed) {
  const kind = changed.slice(0, changed.indexOf(":"));
  return fragment.dataset.live.split(" ").some((name) => name === changed || name === `${kind}:*`);
}

function stale(some) {
  for (const fragment of some) pending.add(fragment.id);
  // A hidden page catches up when it is looked at again.
  if (!timer && !document.hidden && pending.size) timer = setTimeout(flush, BATCH_MS);
}

function flush() {
  timer = 0;
  const ids = [...pending];
  pending.clear();
  for (const id of ids) refresh(id);
}

// One request at a time for each fragment; what changes meanwhile makes one more. It is judged by what the fresh fragment listens to: it may
// name an operation that the old one did not know.
async function refresh(id) {
  if (busy.has(id)) return;
  const fragment = document.getElementById(id);
  if (!fragment) return;
  busy.set(id, []);
  try {
    await load(fragment);
  } catch {
    pending.add(id); // the reconnect will ask for it again
  } finally {
    const meanwhile = busy.get(id);
    busy.delete(id);
    const fresh = document.getElementById(id);
    if (fresh && meanwhile.some((changed) => hears(fresh, changed))) stale([fresh]);
  }
}

async function load(fragment) {
  const { id } = fragment;
  const url = fragment.dataset.url;
  const response = await fetch(url, { headers: { ...pageHeaders(), "X-Fragment": id }, cache: "no-store", redirect: "manual" });
  const current = document.getElementById(id);
  if (!current || current.dataset.url !== url) return; // the page has moved on meanwhile
  if (response.status === 404 && fragment.dataset.gone) leave(fragment);
  else if (response.type === "opaqueredirect") location.reload(); // signed out: the page says so itself
  else if (response.ok) swap(current, await response.text());
}

// What every request of this page says, those of htmx too: its team among it.
const pageHeaders = () => JSON.parse(document.body.getAttribute("hx-headers"));

function leave(fragment) {
  fragment.dataset.live = ""; // once is enough
  fragment.classList.add("ow-gone");
  show("This is gone: somebody deleted it.", "bad");
  setTimeout(() => location.assign(fragment.dataset.gone), 1500);
}

function swap(fragment, html) {
  const { id } = fragment;
  const homes = fragment.contains(document.activeElement) ? idsAround(document.activeElement) : [];
  Idiomorph.morph(fragment, html, { morphStyle: "outerHTML", callbacks: { beforeNodeMorphed: mayMorph, beforeAttributeUpdated: mayUpdate } });
  const fresh = document.getElementById(id);
  if (!fresh) return;
  htmx.process(fresh);
  // The button that was pressed may be gone: a keyboard stays near it, on nothing that acts.
  if (homes.length && !fresh.contains(document.activeElement)) homes.map(homeIn).find(Boolean)?.focus();
}

const homeIn = (id) => document.getElementById(id)?.querySelector("[data-focus-home]");

function idsAround(element) {
  const ids = [];
  for (let around = element.parentElement; around; around = around.parentElement) if (around.id) ids.push(around.id);
  return ids;
}

// Islands that live by themselves (a terminal, a form being filled in) stay as they are.
const mayMorph = (old) => !(old instanceof Element && old.hasAttribute("data-keep"));

// What the person opened stays open.
const mayUpdate = (name, element) => !(name === "open" && element.tagName === "DETAILS");

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/events/`);
  let quiet = 0;
  socket.onopen = () => {
    clearTimeout(quiet);
    retry = FIRST_RETRY_MS;
    document.documentElement.dataset.liveState = "on";
    stale(fragments()); // what happened between the page's making and now
  };
  socket.onmessage = (event) => {
    const { changed } = JSON.parse(event.data);
    for (const meanwhile of busy.values()) meanwhile.push(changed);
    stale(fragments().filter((fragment) => hears(fragment, changed)));
  };
  socket.onclose = () => {
    quiet = setTimeout(() => { document.documentElement.dataset.liveState = "off"; }, SILENT_MS);
    setTimeout(() => { clearTimeout(quiet); connect(); }, retry * (0.75 + Math.random() / 2));
    if (retry > SILENT_MS) document.documentElement.dataset.liveState = "off";
    retry = Math.min(retry * 2, LAST_RETRY_MS);
  };
}

document.addEventListener("visibilitychange", () => stale([]));
if (fragments().length) connect();
