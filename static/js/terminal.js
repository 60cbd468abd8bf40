// An xterm.js terminal that keeps to a strict content security policy and to what a hostile guest may not do. Used by console.js.
import { Terminal } from "../vendor/xterm/xterm.mjs";
import { FitAddon } from "../vendor/xterm/addon-fit.mjs";
import { SearchAddon } from "../vendor/xterm/addon-search.mjs";
import { WebLinksAddon } from "../vendor/xterm/addon-web-links.mjs";
import { ask } from "./confirm.js";

const COLOURS = {
  foreground: "#d5dce6", cursor: "#d5dce6", selectionBackground: "#34507f",
  black: "#1b2430", red: "#f0736b", green: "#5fd39b", yellow: "#e3b054", blue: "#7fb5ff", magenta: "#c79bf2", cyan: "#63cfd6", white: "#d5dce6",
  brightBlack: "#7b8794", brightRed: "#ff9a93", brightGreen: "#8be9bb", brightYellow: "#f5cd83", brightBlue: "#a9ceff", brightMagenta: "#dfc0ff",
  brightCyan: "#95e8ec", brightWhite: "#ffffff",
};

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const theme = () => ({ ...COLOURS, background: token("--ow-term"), cursorAccent: token("--ow-term") });

export function makeTerminal(screen) {
  const term = new Terminal({
    allowProposedApi: true, // decorations of found places
    convertEol: false,
    cursorBlink: false,
    fontFamily: token("--ow-mono"),
    fontSize: 12.5,
    lineHeight: 1.25,
    linkHandler: { activate: () => {} }, // OSC 8: a text that hides another address is no link here
    disableStdin: true,
    scrollback: 20000,
    screenReaderMode: true,
    theme: theme(),
  });
  refuse(term);
  const fit = new FitAddon();
  const search = new SearchAddon();
  term.loadAddon(fit);
  term.loadAddon(search);
  term.loadAddon(new WebLinksAddon(openAsked));
  withoutInlineStyles(term, screen);
  fit.fit();
  new ResizeObserver(() => fit.fit()).observe(screen);
  const recolour = new MutationObserver(() => { term.options.theme = theme(); });
  recolour.observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
  return { term, fit, search };
}

// Output is hostile: it may not touch clipboard, titles, icons, colours of the page, links, or make the terminal answer by itself.
function refuse(term) {
  for (const code of [0, 1, 2, 4, 7, 8, 9, 10, 11, 12, 52, 104, 110, 111, 112, 777, 1337]) term.parser.registerOscHandler(code, () => true);
  const answers = [{ final: "c" }, { prefix: ">", final: "c" }, { prefix: "=", final: "c" }, { final: "n" }, { prefix: "?", final: "n" }, { final: "t" }];
  for (const id of answers) term.parser.registerCsiHandler(id, () => true);
  for (const id of [{ intermediates: "$", final: "p" }, { prefix: "?", intermediates: "$", final: "p" }]) term.parser.registerCsiHandler(id, () => true);
  term.parser.registerDcsHandler({ intermediates: "$", final: "q" }, () => true);
  term.parser.registerDcsHandler({ intermediates: "+", final: "q" }, () => true);
}

async function openAsked(event, address) {
  const url = URL.parse(address);
  if (!url || !["http:", "https:"].includes(url.protocol)) return;
  const yes = await ask({ title: "Open this address?", text: `A program in the guest printed it: ${url.href}`, action: "Open" });
  if (yes) open(url.href, "_blank", "noopener,noreferrer");
}

// xterm.js writes <style> elements and style attributes; the policy forbids both. Rules go to constructed sheets, attributes to the CSSOM.
function withoutInlineStyles(term, screen) {
  const create = document.createElement;
  document.createElement = function createElement(name, options) {
    return name === "style" ? sheetElement(create.call(document, "template")) : create.call(document, name, options);
  };
  try {
    term.open(screen);
  } finally {
    delete document.createElement;
  }
  const rows = term._core._renderService._renderer.value._rowFactory;
  rows._addStyle = (element, style) => { element.style.cssText += `${style};`; };
}

// Stands in for a <style> element: even an empty one would be refused.
function sheetElement(element) {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(element, "textContent", { set: (text) => sheet.replaceSync(text), get: () => "" });
  return element;
}
