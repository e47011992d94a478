// Light, dark or as the system: applied before the first paint, so nothing flashes.
// A classic script in the head on purpose: a module would run too late.
(() => {
  const root = document.documentElement;
  const words = { light: "Theme: light", dark: "Theme: dark" };
  const next = { "": "light", light: "dark", dark: "" };

  const stored = () => {
    try {
      return localStorage.getItem("theme") || "";
    } catch {
      return "";
    }
  };

  const apply = (theme) => {
    if (theme in words) root.dataset.theme = theme;
    else delete root.dataset.theme;
    const word = document.querySelector("[data-theme-word]");
    if (word) word.textContent = words[theme] || "Theme: system";
  };

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-theme-toggle]");
    apply(stored());
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", () => {
      const theme = next[root.dataset.theme || ""];
      try {
        localStorage.setItem("theme", theme);
      } catch {
        // Without storage the choice lasts for this page.
      }
      apply(theme);
    });
  });
})();
