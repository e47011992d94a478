// The diagram of a testbed's page: zoom, search, folding and saving, which outlive the
// poll that replaces the picture. Without this script it scrolls, and its links work.

import "./diagram/picture.js";
import { listen } from "./diagram/gestures.js";
import { searchAgain } from "./diagram/search.js";
import { attach } from "./diagram/view.js";

// htmx gives the focus to the part of the same id, but too early: tools are hidden then,
// and the region stops no keyboard.
let focused = "";
document.addEventListener("htmx:beforeSwap", () => {
  focused = document.activeElement.id;
});
const focusAgain = () => {
  if (!focused || document.activeElement !== document.body) return;
  document.getElementById(focused)?.focus({ preventScroll: true });
};

const show = () => {
  if (!document.getElementById("net")) return;
  for (const tool of document.querySelectorAll("[data-net-tools] [hidden]"))
    tool.hidden = false;
  attach(listen);
  searchAgain();
  focusAgain();
};

// Folds without a new page: the address keeps it, and the poll asks with it from then on.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-fold]");
  if (!link || !window.htmx || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (event.defaultPrevented) return;
  event.preventDefault();
  const { search } = new URL(link.getAttribute("href"), location.href);
  const live = document.getElementById("live");
  const [address] = live.getAttribute("hx-get").split("?");
  history.replaceState(history.state, "", location.pathname + search);
  window.htmx.ajax("GET", address + search, { target: live, swap: "outerHTML" });
});

show();
document.addEventListener("htmx:afterSwap", show);
