// The console on an instance's page: a terminal over a durable log, one writer at a time.
import { ConsoleLink } from "./console_link.js";
import { makeTerminal } from "./terminal.js";
import { show } from "./toasts.js";

const box = document.getElementById("console");
const part = (name) => box.querySelector(`[data-console-${name}]`);
const { term, search } = makeTerminal(part("screen"));
const FOUND = { decorations: { matchBackground: "#5a4a1e", activeMatchBackground: "#d49b24", matchOverviewRuler: "#d49b24", activeMatchColorOverviewRuler: "#d49b24" } };
term.textarea.setAttribute("aria-describedby", "console-hint");
let mayWrite = false;
let youWrite = false;

const scheme = location.protocol === "https:" ? "wss" : "ws";
const link = new ConsoleLink(`${scheme}://${location.host}/ws/instances/${box.dataset.instance}/console/`, {
  onBytes: (bytes, done) => { part("empty").hidden = true; term.write(bytes, done); },
  onGap: (from, to) => term.write(`\r\n\x1b[0;2m┄┄ ${(to - from).toLocaleString("en")} bytes are no longer kept ┄┄\x1b[0m\r\n`),
  onHello: ({ end }) => { part("empty").hidden = end > 0; },
  onRoles: showRoles,
  onState: () => {},
  onLink: showLink,
});

function showLink(state, reason) {
  box.dataset.link = state;
  part("link").textContent = { on: "live", off: "reconnecting…", ended: reason }[state];
  if (state !== "on") showRoles({ viewers: 0, writer: null, you_write: false, may_write: false });
}

function showRoles({ viewers, writer, you_write, may_write }) {
  mayWrite = may_write;
  youWrite = you_write;
  term.options.disableStdin = !may_write;
  term.options.cursorBlink = you_write;
  part("viewers").textContent = viewers > 1 ? `· ${viewers} viewers` : "";
  const mine = you_write ? "you write" : may_write || box.dataset.link !== "on" ? "" : "read only, your role is viewer";
  part("writer").textContent = [!you_write && writer && `${writer} writes`, mine].filter(Boolean).map((text) => `· ${text}`).join(" ");
  part("take").hidden = !may_write || you_write || !writer;
  part("release").hidden = !you_write || viewers < 2;
}

// The first key takes the pen when nobody holds it; it is never taken from somebody by accident.
term.onData((data) => {
  if (!mayWrite) return;
  if (!youWrite && !part("take").hidden) show("Somebody else writes here. “Write here” takes over.", "bad");
  else for (let at = 0; at < data.length; at += 2000) link.say({ type: "write", data: data.slice(at, at + 2000) });
});

// Tab would hold a keyboard user in the terminal: Escape, then Tab, leads out.
let escaped = false;
term.attachCustomKeyEventHandler((event) => {
  if (event.type !== "keydown") return true;
  if (event.key === "f" && event.ctrlKey && event.shiftKey) {
    event.preventDefault();
    openSearch();
    return false;
  }
  const leaves = event.key === "Tab" && (escaped || !youWrite);
  escaped = event.key === "Escape";
  return !leaves;
});

part("take").addEventListener("click", () => { link.say({ type: "take" }); term.focus(); });
part("release").addEventListener("click", () => link.say({ type: "release" }));
part("whole").addEventListener("click", () => (document.fullscreenElement ? document.exitFullscreen() : box.requestFullscreen()));

function openSearch() {
  part("search").hidden = false;
  part("search").querySelector("input").select();
}

function closeSearch() {
  part("search").hidden = true;
  search.clearDecorations();
  term.focus();
}

part("find").addEventListener("click", () => (part("search").hidden ? openSearch() : closeSearch()));
part("search").addEventListener("submit", (event) => {
  event.preventDefault();
  search.findNext(part("search").querySelector("input").value, FOUND);
});
part("search").addEventListener("input", (event) => search.findNext(event.target.value, { ...FOUND, incremental: true }));
part("search").addEventListener("keydown", (event) => event.key === "Escape" && closeSearch());
part("before").addEventListener("click", () => search.findPrevious(part("search").querySelector("input").value, FOUND));
search.onDidChangeResults(({ resultIndex, resultCount }) => {
  const sought = part("search").querySelector("input").value;
  part("found").textContent = resultCount ? `${resultIndex + 1} of ${resultCount}` : sought && "nothing";
});

// The whole kept log, piece by piece, from the API.
part("save").addEventListener("click", async () => {
  const pieces = [];
  let from = 0;
  for (;;) {
    const response = await fetch(`/api/v1/instances/${box.dataset.instance}/console/?from=${from}`, { cache: "no-store" });
    if (!response.ok) {
      show(`The log can't be read now (${response.status}).`, "bad");
      return;
    }
    pieces.push(await response.arrayBuffer());
    const next = Number(response.headers.get("Console-Next"));
    if (next <= from || next >= Number(response.headers.get("Console-End"))) break;
    from = next;
  }
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(new Blob(pieces, { type: "application/octet-stream" }));
  anchor.download = `${box.dataset.name}-console.log`;
  anchor.click();
  URL.revokeObjectURL(anchor.href);
});
