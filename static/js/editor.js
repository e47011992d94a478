// The editor of a text file: findings while one types, Save from the keyboard, and a
// warning before leaving. The text itself is CodeMirror's where it was built
// (editor/code.js), else the text area's (editor/plain.js); the text area is always sent.

import * as plain from "./editor/plain.js";
import { findingsIn } from "./editor/findings.js";

const form = document.querySelector("[data-editor]");
if (form) begin(form, await surfaceOf(form));

async function surfaceOf(form) {
  try {
    const code = await import("./editor/code.js");
    return code.open(form);
  } catch (error) {
    console.warn("The text area stays: CodeMirror is not there.", error);
    return plain.open(form);
  }
}

function begin(form, surface) {
  const text = form.querySelector("#editor-text");
  const dirty = form.querySelector("[data-dirty]");
  const said = form.querySelector("[data-said][role]");
  const isOld = !("unsaved" in form.dataset);
  const saved = isOld ? text.defaultValue : null;
  let leaving = false;
  let checked = text.value;

  form.querySelector("[data-keys]").hidden = false;

  const isDirty = () => text.value !== saved;
  const draw = () => (dirty.hidden = !isDirty());

  function mark() {
    const found = form.querySelector("#editor-findings");
    if (!found) return;
    surface.mark(findingsIn(found));
    if (said.textContent !== found.dataset.said) said.textContent = found.dataset.said;
  }

  // A save loads the page again: go on at the same place.
  const place = `editor:${form.dataset.name}`;
  function remember() {
    const where = { ...surface.place(), page: scrollY };
    sessionStorage.setItem(place, JSON.stringify(where));
  }
  function goOn() {
    const where = JSON.parse(sessionStorage.getItem(place) ?? "null");
    sessionStorage.removeItem(place);
    if (!where || !isOld) return;
    surface.goTo(where);
    window.scrollTo(0, where.page);
  }

  text.addEventListener("input", draw);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "s" || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    event.preventDefault();
    form.requestSubmit();
  });
  form.addEventListener("submit", () => {
    leaving = true;
    remember();
  });
  form.addEventListener("click", (event) => {
    const link = event.target.closest("[data-line]");
    if (!link) return;
    event.preventDefault();
    surface.select(Number(link.dataset.line), Number(link.dataset.column ?? 1));
  });
  form.addEventListener("htmx:configRequest", () => (checked = text.value));
  form.addEventListener("htmx:beforeSwap", ({ detail }) => {
    // Findings of a text that has changed since would stand at wrong lines.
    if (checked !== text.value) detail.shouldSwap = false;
    if (!new URL(detail.xhr.responseURL).pathname.startsWith("/login")) return;
    detail.shouldSwap = false;
    said.textContent = "You were signed out. Sign in in another tab before you save.";
  });
  form.addEventListener("htmx:afterSettle", mark);
  window.addEventListener("beforeunload", (event) => {
    if (isDirty() && !leaving) event.preventDefault();
  });
  window.addEventListener("pageshow", () => (leaving = false));

  mark();
  draw();
  goOn();
}
