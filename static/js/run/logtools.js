// Search, level, line breaks and copying, over the lines that the log holds now. The
// panel is replaced when another resource is chosen: what was set here stays.

const SAID_MS = 2000;

export const createLogTools = (root) => {
  const panel = () => document.getElementById("log");
  const part = (name) => panel().querySelector(`[data-log-${name}]`);
  const lines = () => [...panel().getElementsByClassName("line")];
  const chosen = { search: "", level: "", wrap: true };

  const show = (line) => {
    const isOfLevel = !chosen.level || line.classList.contains(`line--${chosen.level}`);
    const isFound = line.textContent.toLowerCase().includes(chosen.search);
    line.hidden = !isOfLevel || !isFound;
  };

  const apply = () => {
    part("tools").hidden = false;
    part("search").value = chosen.search;
    part("level").value = chosen.level;
    part("wrap").checked = chosen.wrap;
    panel().classList.toggle("log--unwrapped", !chosen.wrap);
    lines().forEach(show);
  };

  const select = () => {
    const range = document.createRange();
    range.selectNodeContents(document.getElementById("log-lines"));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  };

  const copy = async (button) => {
    const cells = (line) => [...line.children].map((cell) => cell.textContent.trim());
    const shown = lines().filter((line) => !line.hidden);
    const text = shown.map((line) => cells(line).join("  ")).join("\n");
    const said = button.querySelector("span");
    try {
      await navigator.clipboard.writeText(`${text}\n`);
      said.textContent = "Copied";
    } catch {
      // Without HTTPS a browser keeps its clipboard from scripts.
      select();
      said.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (said.textContent = "Copy"), SAID_MS);
  };

  root.addEventListener("input", ({ target }) => {
    if (!target.matches("[data-log-search], [data-log-level], [data-log-wrap]")) return;
    chosen.search = part("search").value.toLowerCase();
    chosen.level = part("level").value;
    chosen.wrap = part("wrap").checked;
    apply();
  });
  root.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-log-copy]");
    if (button) copy(button);
  });
  root.addEventListener("htmx:afterSwap", apply);
  apply();
  return { show };
};
