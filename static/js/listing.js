// The list of testbeds: its ticks stay while the rows are brought up to date.

const ticks = () => [...document.querySelectorAll("#testbeds [data-tick]")];
const ticked = new Set();

const show = () => {
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
  show();
});

// Rows of another page or choice are not ticked any more.
document.addEventListener("htmx:afterSwap", () => {
  const there = new Set(ticks().map((tick) => tick.value));
  for (const value of ticked) if (!there.has(value)) ticked.delete(value);
  show();
});

// A browser that goes back shows the boxes as they were.
for (const tick of ticks()) if (tick.checked) ticked.add(tick.value);
show();
