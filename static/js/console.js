// The page of a guest's console: its display, a terminal or a screen, with its tools, and the
// line that says how it stands.

import { connect } from "./console/connection.js";

const panel = document.querySelector("[data-console]");
const part = (name) => panel.querySelector(`[data-${name}]`);
const people = document.querySelector("[data-people]");
const state = part("state");
const again = part("again");
const TONES = { open: "good", opening: "", waiting: "warn", over: "warn", idle: "warn", failed: "bad" };

const say = (tone, text) => {
  state.dataset.tone = tone;
  if (state.textContent !== text) state.textContent = text;
};

const isScreen = panel.dataset.mode === "screen";
const mayType = () => "types" in panel.dataset && !part("watch")?.checked;

const loadDisplay = async () => {
  try {
    const { createDisplay } = await import(`./console/${isScreen ? "screen" : "terminal"}.js`);
    return await createDisplay(part("display"), panel.dataset, mayType);
  } catch (error) {
    console.warn("There is no display.", error);
    return null;
  }
};

const begin = (display) => {
  let isOpen = false;
  const show = (words) => {
    if (words.type === "reset") display.clear();
    if (words.type === "skipped")
      say("warn", `This browser was too slow: ${words.bytes} bytes were skipped.`);
    if (words.type === "notice") say("warn", words.text);
    if (words.type === "people") {
      const names = words.people.map(({ name, types }) => (types ? name : `${name} (reads)`));
      people.textContent = names.length > 1 ? `Here now: ${names.join(", ")}` : "";
    }
    if (words.type !== "state") return;
    isOpen = words.state === "open";
    const open = mayType() ? "Connected." : "Connected, read only.";
    const known = { opening: "Opening…", open }[words.state];
    say(TONES[words.state] ?? "", known ?? `${words.text} ${words.hint}`.trim());
  };

  const lose = (text, isFinal) => {
    isOpen = false;
    people.textContent = "";
    if (text) say(isFinal ? "bad" : "warn", text);
    again.hidden = !isFinal;
    // Who reads with the keyboard finds the way on.
    if (isFinal && panel.contains(document.activeElement)) again.focus();
  };

  const live = connect(panel.dataset, {
    mayType,
    size: display.size,
    // Words hold from where they stand among the bytes before them.
    onWords: (words) =>
      words.type === "replay" ? display.expectReplay() : display.after(() => show(words)),
    onData: display.write,
    onLoss: lose,
  });
  // A screen asks for pictures all the time: the gateway drops a reader's keys.
  display.onType((data) => (isScreen || mayType()) && live.type(data));
  display.onReady(live.ready);
  display.onFailure((text) => lose(text, true));
  display.onResize(live.resize);

  again.addEventListener("click", () => {
    again.hidden = true;
    live.open();
    display.focus();
  });
  part("watch")?.addEventListener("change", live.open);
  part("full").addEventListener("click", () =>
    document.fullscreenElement ? document.exitFullscreen() : panel.requestFullscreen(),
  );
  display.addTools(part, say, () => isOpen && mayType());
  display.onLeave(() => panel.querySelector(".console__tools button").focus());
  display.focus();
};

panel.hidden = false;
const display = await loadDisplay();
const missing = isScreen ? "The screen is not there: noVNC" : "The terminal is not there: xterm.js";
if (display) begin(display);
else say("bad", `${missing} was not built on this server. See docs/operations.md.`);
