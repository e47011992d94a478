// Key presses of the page's keyboard in a terminal: xterm.js turns those that are no
// characters into what the guest's program asked for, arrows for one.

const MODIFIERS = { ShiftLeft: "shiftKey", ControlLeft: "ctrlKey", AltLeft: "altKey", MetaLeft: "metaKey" };
// What xterm.js knows a key by.
const NUMBERS = {
  Backspace: 8,
  Tab: 9,
  Enter: 13,
  Escape: 27,
  PageUp: 33,
  PageDown: 34,
  End: 35,
  Home: 36,
  ArrowLeft: 37,
  ArrowUp: 38,
  ArrowRight: 39,
  ArrowDown: 40,
  Insert: 45,
  Delete: 46,
};
const numberOf = (code) => NUMBERS[code] ?? (/^F\d+$/.test(code) ? 111 + Number(code.slice(1)) : 0);

// Returns a function that presses or releases a key: its character's number and its place.
export const keysOf = (terminal) => {
  const held = {};
  return (sym, code, isDown) => {
    if (code in MODIFIERS) held[MODIFIERS[code]] = isDown;
    else if (numberOf(code)) {
      const init = { ...held, code, keyCode: numberOf(code), bubbles: true, cancelable: true };
      terminal.textarea.dispatchEvent(new KeyboardEvent(isDown ? "keydown" : "keyup", init));
    } else if (isDown) {
      const character = String.fromCodePoint(held.ctrlKey ? sym & 0x1f : sym);
      terminal.input(held.altKey ? `\x1b${character}` : character);
    }
  };
};
