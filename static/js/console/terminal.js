// The terminal: xterm.js with the page's colours, size and keys. It interprets what a guest
// prints and nothing more: no titles, no clipboard, no links.

import { FitAddon, Terminal } from "../../vendor/xterm.js";
import { createKeyboard } from "./keyboard.js";
import { boundRepeats } from "./repeats.js";
import { store, stored } from "./storage.js";
import { keysOf } from "./terminal_keys.js";

const SMALLEST = 9;
const LARGEST = 28;
// A serial line knows no size: its guest takes it for this wide.
const SERIAL_COLUMNS = 80;
const HYPERLINK = 8;

// xterm makes style elements, which the page's policy lets in with its nonce alone, and style
// attributes for colours, which it does not: what is set by `style` it does not ask for.
function setAttribute(name, value) {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

const allowStyles = (nonce) => {
  const create = document.createElement.bind(document);
  document.createElement = (name, ...more) => {
    const made = create(name, ...more);
    if (name === "style") made.nonce = nonce;
    if (name === "span") made.setAttribute = setAttribute;
    return made;
  };
};

const loadSheet = () =>
  new Promise((resolve, reject) => {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = new URL("../../vendor/xterm.css", import.meta.url);
    sheet.addEventListener("load", resolve);
    sheet.addEventListener("error", reject);
    document.head.append(sheet);
  });

// The page's colours as they are now: light or dark.
const themeOf = (box) => {
  const probe = document.createElement("span");
  box.append(probe);
  const colour = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const theme = {
    background: colour("surface"),
    foreground: colour("text"),
    cursor: colour("text"),
    cursorAccent: colour("surface"),
    selectionBackground: colour("accent-fill"),
    selectionForeground: colour("on-accent"),
  };
  probe.remove();
  return theme;
};

export const createDisplay = async (box, { mode, nonce }) => {
  allowStyles(nonce);
  await loadSheet();
  const fontFamily = getComputedStyle(document.documentElement).getPropertyValue("--mono");
  const terminal = new Terminal({
    fontFamily,
    fontSize: stored("size", 14),
    // What a guest prints is no error of the page.
    logLevel: "off",
    minimumContrastRatio: 4.5,
    scrollback: 5000,
    screenReaderMode: stored("reader", false),
    theme: themeOf(box),
  });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.parser.registerOscHandler(HYPERLINK, () => true);
  boundRepeats(terminal);
  terminal.open(box);

  const resize = () => {
    const found = fit.proposeDimensions();
    if (!found || Number.isNaN(found.cols)) return;
    const least = mode === "serial" ? SERIAL_COLUMNS : 2;
    terminal.resize(Math.max(least, found.cols), Math.max(2, found.rows));
  };
  new ResizeObserver(resize).observe(box);
  resize();

  const recolour = () => (terminal.options.theme = themeOf(box));
  new MutationObserver(recolour).observe(document.documentElement, { attributes: true });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

  let leave = () => {};
  const keys = {
    KeyC: () => document.execCommand("copy"),
    KeyL: () => leave(),
  };
  terminal.attachCustomKeyEventHandler((event) => {
    const key = event.ctrlKey && event.shiftKey && keys[event.code];
    if (!key) return !(event.ctrlKey && event.shiftKey && event.code === "KeyV");
    if (event.type === "keydown") {
      event.preventDefault();
      key();
    }
    return false;
  });

  const copy = async () => {
    const text = terminal.getSelection();
    if (text && navigator.clipboard) await navigator.clipboard.writeText(text);
    else if (text) {
      terminal.focus();
      document.execCommand("copy");
    }
    return Boolean(text);
  };
  const paste = async () => {
    terminal.focus();
    if (!navigator.clipboard?.readText) return false;
    terminal.paste(await navigator.clipboard.readText());
    return true;
  };
  const resizeText = (by) => {
    const size = Math.min(LARGEST, Math.max(SMALLEST, terminal.options.fontSize + by));
    terminal.options.fontSize = size;
    store("size", size);
    resize();
  };

  // A terminal answers questions in what it shows: not those of the past once more.
  let replays = 0;
  let isReplay = false;

  return {
    clear: () => terminal.reset(),
    after: (act) => terminal.write("", act),
    expectReplay: () => (isReplay = true),
    write: (bytes, onShown) => {
      const isPast = isReplay;
      isReplay = false;
      if (isPast) replays += 1;
      terminal.write(bytes, () => {
        if (isPast) replays -= 1;
        onShown(bytes.length);
      });
    },
    onType: (type) => {
      terminal.onData((text) => !replays && type(text));
    },
    onResize: (told) => terminal.onResize(({ cols, rows }) => told({ columns: cols, rows })),
    size: () => ({ columns: terminal.cols, rows: terminal.rows }),
    focus: () => terminal.focus(),
    onLeave: (go) => (leave = go),
    onReady: () => {},
    onFailure: () => {},
    addTools: (part, say, mayPress) => {
      if (part("keyboard")) {
        const press = keysOf(terminal);
        const send = (...key) => mayPress() && (press(...key), true);
        createKeyboard(part, send, { anyText: true });
      }
      part("copy").addEventListener("click", async () => {
        say("", (await copy()) ? "Copied." : "Select text in the terminal first.");
      });
      part("paste")?.addEventListener("click", async () => {
        if (!(await paste())) say("", "This browser pastes with Ctrl+Shift+V only.");
      });
      part("smaller").addEventListener("click", () => resizeText(-1));
      part("larger").addEventListener("click", () => resizeText(1));
      const reader = part("reader");
      reader.checked = terminal.options.screenReaderMode;
      reader.addEventListener("change", () => {
        terminal.options.screenReaderMode = reader.checked;
        store("reader", reader.checked);
      });
    },
  };
};
