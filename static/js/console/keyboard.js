// The page's keyboard: keys that a browser keeps or a telephone lacks, and text as key presses.

import { store, stored } from "./storage.js";

// X11's number of each key that is no character, by its place (KeyboardEvent.code).
const KEYS = {
  Backspace: 0xff08,
  Tab: 0xff09,
  Enter: 0xff0d,
  Escape: 0xff1b,
  Home: 0xff50,
  ArrowLeft: 0xff51,
  ArrowUp: 0xff52,
  ArrowRight: 0xff53,
  ArrowDown: 0xff54,
  PageUp: 0xff55,
  PageDown: 0xff56,
  End: 0xff57,
  Insert: 0xff63,
  ShiftLeft: 0xffe1,
  ControlLeft: 0xffe3,
  AltLeft: 0xffe9,
  MetaLeft: 0xffeb,
  Delete: 0xffff,
};
for (let number = 1; number <= 12; number += 1) KEYS[`F${number}`] = 0xffbd + number;

// The places of the characters on a US keyboard, without and with Shift.
const PLACES = [
  ["Backquote", "`~"],
  ["Minus", "-_"],
  ["Equal", "=+"],
  ["BracketLeft", "[{"],
  ["BracketRight", "]}"],
  ["Backslash", "\\|"],
  ["Semicolon", ";:"],
  ["Quote", "'\""],
  ["Comma", ",<"],
  ["Period", ".>"],
  ["Slash", "/?"],
  ["Space", " "],
  ...[..."1234567890"].map((digit, at) => [`Digit${digit}`, digit + "!@#$%^&*()"[at]]),
  ...[..."abcdefghijklmnopqrstuvwxyz"].map((letter) => {
    const upper = letter.toUpperCase();
    return [`Key${upper}`, letter + upper];
  }),
];
const STROKES = new Map([
  ["\n", { code: "Enter", sym: KEYS.Enter }],
  ["\t", { code: "Tab", sym: KEYS.Tab }],
]);
for (const [code, characters] of PLACES)
  [...characters].forEach((character, at) =>
    STROKES.set(character, { code, sym: character.codePointAt(0), isShifted: at === 1 }),
  );

// A guest's keyboard holds few keys that its system has not read yet.
const PAUSE = 15;
const TOLD_AFTER = 50;
const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE));

// `send(sym, code, isDown)` says whether the guest gets keys now; `anyText`: also characters
// that a US keyboard lacks.
export const createKeyboard = (part, send, { anyText = false } = {}) => {
  const [open, box, text, type, told] = ["keys", "keyboard", "text", "type", "typed"].map(part);
  const toggles = [...box.querySelectorAll("[aria-pressed]")];
  let isTyping = false;
  let last = Promise.resolve();

  const tell = (words) => (told.textContent = words);
  const isHeld = (toggle) => toggle.getAttribute("aria-pressed") === "true";
  const hold = (toggle, isDown) => toggle.setAttribute("aria-pressed", String(isDown));
  const takeHeld = () => {
    const held = toggles.filter(isHeld);
    held.forEach((toggle) => hold(toggle, false));
    return held.map(({ dataset }) => dataset.code);
  };

  const stroke = async (held, key) => {
    const keys = [...held.map((code) => ({ code, sym: KEYS[code] })), key];
    const isSent = keys.map(({ sym, code }) => send(sym, code, true)).every(Boolean);
    await pause();
    keys.reverse().forEach(({ sym, code }) => send(sym, code, false));
    await pause();
    return isSent;
  };

  const press = (button) => {
    const { code } = button.dataset;
    const isToggle = toggles.includes(button);
    if (isToggle && !isHeld(button)) {
      hold(button, true);
      return;
    }
    if (isToggle) hold(button, false);
    const held = isToggle ? [] : takeHeld();
    last = last.then(async () => {
      tell((await stroke(held, { code, sym: KEYS[code] })) ? "" : "Not sent: no keys reach the guest now.");
    });
  };

  const enter = async (held, strokes, typed) => {
    let sent = 0;
    for (const key of strokes) {
      if (!isTyping || !(await stroke(key.isShifted ? [...held, "ShiftLeft"] : held, key))) break;
      sent += 1;
      if (sent % TOLD_AFTER === 0) tell(`${sent} of ${strokes.length} characters sent…`);
    }
    const isWhole = sent === strokes.length;
    if (isWhole && text.value === typed) text.value = "";
    tell(`${isWhole ? "" : "Stopped: "}${sent} of ${strokes.length} characters sent.`);
    isTyping = false;
    type.textContent = "Type";
  };

  const strokeOf = (character) =>
    STROKES.get(character) ?? (anyText && { code: "", sym: character.codePointAt(0) });

  const submit = () => {
    const characters = [...text.value];
    const missing = new Set(characters.filter((character) => !strokeOf(character)));
    if (isTyping) isTyping = false;
    else if (missing.size) tell(`Not sent: a US keyboard has no ${[...missing].join(" ")}`);
    else if (characters.length) {
      isTyping = true;
      type.textContent = "Stop";
      const held = takeHeld();
      const strokes = characters.map(strokeOf);
      const typed = text.value;
      last = last.then(() => enter(held, strokes, typed));
    }
  };

  const show = (isShown) => {
    box.hidden = !isShown;
    open.setAttribute("aria-expanded", String(isShown));
    store("keys", isShown);
  };
  show(stored("keys", false));
  open.addEventListener("click", () => show(box.hidden));
  type.addEventListener("click", submit);
  box.addEventListener("click", ({ target }) => target.dataset.code && press(target));
  // The mouse leaves the focus on the screen.
  box.addEventListener("mousedown", (event) => event.target.dataset.code && event.preventDefault());
};
