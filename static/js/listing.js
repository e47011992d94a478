// The list of testbeds: its ticks stay while the rows are brought up to date, by polls and,
// while the page is seen, by what the websocket sends of the runs that go on.
import { connect } from "./socket.js";
import { applyFragments } from "./fragments.js";
import { startClock } from "./clock.js";

const ticks = () => [...document.querySelectorAll("#testbeds [data-tick]")];
const ticked = new Set();

const drawTicks = () => {
  for (const tick of ticks()) tick.checked = ticked.has(tick.value);
  const all = document.querySelector("#ticked [data-tick-all]");
  if (!all) return;
  const count = ticks().filter((tick) => tick.checked).length;
  all.hidden = false;
  all.checked = count > 0 && count === ticks().length;
  document.querySelector("[data-ticked]").textContent = count ? ` (${count})` : "";
};

document.addEventListener("change", ({ target }) => {
  if (!target.matches("#testbeds [data-tick], #ticked [data-tick-all]")) return;
  const touched = target.matches("[data-tick]") ? [target] : ticks();
  for (const { value } of touched) ticked[target.checked ? "add" : "delete"](value);
  drawTicks();
});

// Rows of another page or choice are not ticked any more.
document.addEventListener("htmx:afterSwap", () => {
  const there = new Set(ticks().map((tick) => tick.value));
  for (const value of ticked) if (!there.has(value)) ticked.delete(value);
  drawTicks();
});

// A browser that goes back shows the boxes as they were.
for (const tick of ticks()) if (tick.checked) ticked.add(tick.value);
drawTicks();

// The socket is told which version of each row is here, and sends those that differ.
const versions = () => {
  const cells = document.querySelectorAll("#testbeds [data-row]");
  return Object.fromEntries([...cells].map(({ dataset }) => [dataset.row, dataset.version]));
};
let live = null;
const show = () => live?.send({ type: "show", rows: versions() });

// While it is answered, the table is polled less often.
const setLive = (isLive) => document.documentElement.toggleAttribute("data-live", isLive);
const poll = () => document.getElementById("testbeds")?.setAttribute("data-due", "");

const onFrame = ({ type, html }) => {
  if (type === "shown") setLive(true);
  if (type === "stale") poll();
  if (!html) return;
  applyFragments(html);
  document.dispatchEvent(new CustomEvent("page:changed", { detail: "testbeds" }));
};
const open = () => {
  live = connect("/ws/testbeds/", { onOpen: show, onFrame, onState: () => setLive(false), isOver: () => false });
};
const follow = () => {
  const isSeen = document.visibilityState === "visible";
  if (isSeen && !live) open();
  if (isSeen || !live) return;
  live.close();
  live = null;
  setLive(false);
};
if (document.getElementById("testbeds")) {
  document.addEventListener("visibilitychange", follow);
  document.addEventListener("htmx:afterSwap", show);
  startClock();
  follow();
}
