// The page of a guest's console: the terminal, its tools, and the line that says how it stands.

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

const loadScreen = async () => {
  try {
    const { createScreen } = await import("./console/screen.js");
    return await createScreen(part("screen"), panel.dataset);
  } catch (error) {
    console.warn("There is no terminal.", error);
    return null;
  }
};

const begin = (screen) => {
  const mayType = () => !part("watch")?.checked;

  const show = (words) => {
    if (words.type === "reset") screen.clear();
    if (words.type === "skipped")
      say("warn", `This browser was too slow: ${words.bytes} bytes were skipped.`);
    if (words.type === "notice") say("warn", words.text);
    if (words.type === "people") {
      const names = words.people.map(({ name, types }) => (types ? name : `${name} (reads)`));
      people.textContent = names.length > 1 ? `Here now: ${names.join(", ")}` : "";
    }
    if (words.type !== "state") return;
    const open = mayType() ? "Connected." : "Connected, read only.";
    const known = { opening: "Opening…", open }[words.state];
    say(TONES[words.state] ?? "", known ?? `${words.text} ${words.hint}`.trim());
  };

  const live = connect(panel.dataset, {
    mayType,
    size: screen.size,
    // Words hold from where they stand among the bytes before them.
    onWords: (words) =>
      words.type === "replay" ? screen.expectReplay() : screen.after(() => show(words)),
    onData: screen.write,
    onLoss: (text, isFinal) => {
      people.textContent = "";
      if (text) say(isFinal ? "bad" : "warn", text);
      again.hidden = !isFinal;
      // Who reads with the keyboard finds the way on.
      if (isFinal && panel.contains(document.activeElement)) again.focus();
    },
  });
  screen.onType((data) => mayType() && live.type(data));
  screen.onResize(live.resize);

  again.addEventListener("click", () => {
    again.hidden = true;
    live.open();
    screen.focus();
  });
  part("watch")?.addEventListener("change", live.open);
  part("copy").addEventListener("click", async () => {
    const has = await screen.copy();
    say("", has ? "Copied." : "Select text in the terminal first.");
  });
  part("paste").addEventListener("click", async () => {
    if (!(await screen.paste())) say("", "This browser pastes with Ctrl+Shift+V only.");
  });
  part("smaller").addEventListener("click", () => screen.resizeText(-1));
  part("larger").addEventListener("click", () => screen.resizeText(1));
  part("full").addEventListener("click", () =>
    document.fullscreenElement ? document.exitFullscreen() : panel.requestFullscreen(),
  );
  const reader = part("reader");
  reader.checked = screen.isRead();
  reader.addEventListener("change", () => screen.setRead(reader.checked));
  screen.onLeave(() => part("copy").focus());
  screen.focus();
};

panel.hidden = false;
const screen = await loadScreen();
if (screen) begin(screen);
else
  say("bad", "The terminal is not there: xterm.js was not built on this server. See docs/operations.md.");
