// Server fragments → the page: an element replaces the one with its id, or is appended
// to the list that its data-append names. What a user opened or focused stays so.

const parse = (html) => {
  const template = document.createElement("template");
  template.innerHTML = html;
  return [...template.content.children];
};

const keepFolds = (old, fresh) => {
  const folds = old.matches("[data-fold]") ? [old] : [];
  for (const fold of [...folds, ...old.querySelectorAll("[data-fold]")]) {
    if (fold.dataset.touched === undefined) continue;
    const same = fresh.id === fold.id ? fresh : fresh.querySelector(`#${fold.id}`);
    if (!same) continue;
    same.open = fold.open;
    same.dataset.touched = "";
  }
};

const replace = (old, fresh) => {
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  keepFolds(old, fresh);
  old.replaceWith(fresh);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
};

export const applyFragments = (html, log) => {
  for (const fresh of parse(html)) {
    if (fresh.dataset.title) document.title = fresh.dataset.title;
    const old = fresh.id && document.getElementById(fresh.id);
    if (old) replace(old, fresh);
    else if (fresh.dataset.append === "log") log.append(fresh);
  }
};

// A fold that the user opened or closed keeps its state when the server renders it again.
document.addEventListener("click", ({ target }) => {
  const summary = target.closest("summary");
  const fold = summary?.parentElement;
  if (fold?.matches("[data-fold]")) fold.dataset.touched = "";
});
