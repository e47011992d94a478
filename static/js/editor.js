// The editor of a text file: line numbers, marks, keys, and a warning before leaving.
// The server finds what is wrong; here its marks are only put beside their lines.

const form = document.querySelector("[data-editor]");
if (form) begin(form);

function begin(form) {
  const text = form.querySelector("#editor-text");
  const list = form.querySelector("[data-lines]");
  const scroll = form.querySelector(".editor__scroll");
  const dirty = form.querySelector("[data-dirty]");
  const said = form.querySelector("[data-said][role]");
  const isOld = !("unsaved" in form.dataset);
  const saved = isOld ? text.value : null;
  const grows = CSS.supports("field-sizing", "content");
  let leaving = false;
  let mayLeave = false;

  form.querySelector("[data-keys]").hidden = false;

  // One list item per line; only lines with a mark repeat their text, unseen, so
  // that the message stands after it.
  function draw() {
    const lines = text.value.split("\n");
    while (list.children.length < lines.length) list.append(document.createElement("li"));
    while (list.children.length > lines.length) list.lastElementChild.remove();
    for (const ghost of list.querySelectorAll(".editor__ghost")) {
      const item = ghost.parentElement;
      ghost.textContent = lines[[...list.children].indexOf(item)];
    }
    if (!grows) {
      text.rows = lines.length;
      text.cols = Math.max(40, ...lines.map((line) => line.length + 2));
    }
    dirty.hidden = text.value === saved;
  }

  function mark() {
    const found = form.querySelector("#editor-findings");
    if (!found) return;
    for (const item of list.querySelectorAll("li[class]")) {
      item.removeAttribute("class");
      item.replaceChildren();
    }
    const marks = found.querySelector("template")?.content.children ?? [];
    for (const template of marks) {
      const number = Math.min(Number(template.dataset.line), list.children.length);
      const item = list.children[Math.max(number, 1) - 1];
      const isWorse = template.dataset.severity === "error";
      if (item.firstElementChild && !isWorse) continue;
      if (item.className.endsWith("error")) continue;
      const ghost = document.createElement("span");
      ghost.className = "editor__ghost";
      ghost.setAttribute("aria-hidden", "true");
      item.className = `editor__line--${template.dataset.severity}`;
      item.replaceChildren(template.cloneNode(true), ghost);
    }
    if (said.textContent !== found.dataset.said) said.textContent = found.dataset.said;
    draw();
  }

  function select(line, column) {
    const lines = text.value.split("\n");
    const index = Math.min(Math.max(line, 1), lines.length) - 1;
    const start = lines.slice(0, index).join("\n").length + (index ? 1 : 0);
    const from = start + Math.min(Math.max(column - 1, 0), lines[index].length);
    text.focus({ preventScroll: true });
    text.setSelectionRange(from, start + lines[index].length);
    list.children[index].scrollIntoView({ block: "center", inline: "nearest" });
    scroll.scrollLeft = 0;
  }

  // Indents by two spaces. Escape lets the next Tab leave, so that nobody is trapped.
  function indent(event) {
    if (event.key === "Escape") mayLeave = true;
    else if (event.key !== "Tab" && event.key !== "Shift") mayLeave = false;
    const isPlain = !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey;
    if (event.key !== "Tab" || !isPlain || mayLeave) return;
    event.preventDefault();
    // Unlike setRangeText this can be undone.
    document.execCommand("insertText", false, "  ");
  }

  // A save loads the page again: go on at the same place.
  const place = `editor:${form.dataset.name}`;
  function remember() {
    const where = [text.selectionStart, text.selectionEnd, scroll.scrollTop, scrollY];
    sessionStorage.setItem(place, JSON.stringify(where));
  }
  function goOn() {
    const where = JSON.parse(sessionStorage.getItem(place) ?? "null");
    sessionStorage.removeItem(place);
    if (!where || !isOld) return;
    text.focus({ preventScroll: true });
    text.setSelectionRange(where[0], where[1]);
    scroll.scrollTop = where[2];
    window.scrollTo(0, where[3]);
  }

  text.addEventListener("input", draw);
  text.addEventListener("keydown", indent);
  text.addEventListener("blur", () => (mayLeave = false));
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
    select(Number(link.dataset.line), Number(link.dataset.column ?? 1));
  });
  form.addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (!new URL(detail.xhr.responseURL).pathname.startsWith("/login")) return;
    detail.shouldSwap = false;
    said.textContent = "You were signed out. Sign in in another tab before you save.";
  });
  form.addEventListener("htmx:afterSettle", mark);
  window.addEventListener("beforeunload", (event) => {
    if (text.value !== saved && !leaving) event.preventDefault();
  });
  window.addEventListener("pageshow", () => (leaving = false));

  mark();
  draw();
  goOn();
}
