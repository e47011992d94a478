// The command bar of a testbed: Ctrl+Enter runs, arrow-up recalls, and the ticked rows
// of the guests' table are names in the selection. It works without this script, too:
// then the ticks are sent with the form.

const bar = () => document.getElementById("command-form");
const selection = () => bar()?.elements.selection;
const ticks = () => [...document.querySelectorAll("[data-tick]")];
const names = () => selection().value.split(/[\s,]+/).filter(Boolean);

const write = (found) => {
  selection().value = found.join(",");
  // htmx asks which guests these are.
  selection().dispatchEvent(new Event("input", { bubbles: true }));
};

const showTicks = () => {
  if (!bar()) return;
  const chosen = new Set(names());
  for (const tick of ticks()) {
    tick.removeAttribute("form");
    tick.checked = chosen.has(tick.value);
  }
  for (const all of document.querySelectorAll("[data-tick-all]")) {
    all.hidden = false;
    all.checked = ticks().length > 0 && ticks().every((tick) => tick.checked);
  }
};

// Hosts have other names than guests, and no files to push or fetch.
const showTargets = () => {
  const targets = bar()?.elements.targets?.value;
  if (!targets) return;
  selection().placeholder =
    selection().dataset[targets === "hosts" ? "ofHosts" : "ofGuests"];
  const { form } = bar().elements;
  if (targets === "hosts" && ["push", "fetch"].includes(form.value))
    form.value = "command";
};

document.addEventListener("change", ({ target }) => {
  if (target.matches("#command-form [name='targets']")) showTargets();
  if (!bar() || !target.matches("[data-tick], [data-tick-all]")) return;
  const touched = target.matches("[data-tick]") ? [target] : ticks();
  const values = touched.map((tick) => tick.value);
  const others = names().filter((name) => !values.includes(name));
  write(target.checked ? [...others, ...values] : others);
});
document.addEventListener("input", ({ target }) => {
  if (target === selection()) showTicks();
});
document.addEventListener("htmx:afterSwap", showTicks);

// Earlier commands of this testbed, the last one first; -1 is what is being typed.
let place = -1;
let typed = "";

const recall = (field, step) => {
  const earlier = [...bar().querySelectorAll("[data-earlier] li")];
  const next = Math.min(place + step, earlier.length - 1);
  if (next < -1 || next === place) return;
  if (place === -1) typed = field.value;
  place = next;
  const found = earlier[place];
  field.value = found ? found.dataset.line : typed;
  if (found) bar().elements.form.value = found.dataset.form;
};

document.addEventListener("keydown", (event) => {
  const form = event.target.closest?.("#command-form");
  if (!form) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit();
  }
  const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!step || event.target.name !== "line") return;
  event.preventDefault();
  recall(event.target, step);
});
showTicks();
