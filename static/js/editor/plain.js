// The bare text area, where CodeMirror was not built. The lines beside it are the
// server's: their marks hold until somebody types.

import { spanOf } from "./findings.js";

export function open(form) {
  const text = form.querySelector("#editor-text");
  const list = form.querySelector("[data-lines]");
  const scroll = form.querySelector(".editor__scroll");
  const lines = () => text.value.split("\n");

  function drawLines() {
    const count = lines().length;
    for (const item of list.querySelectorAll("[class]")) {
      item.removeAttribute("class");
      item.replaceChildren();
    }
    while (list.children.length < count) list.append(document.createElement("li"));
    while (list.children.length > count) list.lastElementChild.remove();
    text.rows = count;
  }

  text.addEventListener("input", drawLines);

  return {
    mark() {},
    select(line, column) {
      const { index, from, to } = spanOf({ line, column }, lines());
      const start = lines().slice(0, index).join("\n").length + (index ? 1 : 0);
      text.focus({ preventScroll: true });
      text.setSelectionRange(start + from, start + to);
      list.children[index].scrollIntoView({ block: "center", inline: "nearest" });
    },
    place: () => ({ anchor: text.selectionStart, top: scroll.scrollTop }),
    goTo({ anchor, top }) {
      text.focus({ preventScroll: true });
      text.setSelectionRange(anchor, anchor);
      scroll.scrollTop = top;
    },
  };
}
