// The log: shows the newest lines of what is chosen and follows them. The page holds a
// bounded part of it; what is before or behind that part is loaded on demand.
import { markChosen } from "./chosen.js";

const MOST_LINES = 2000;
const NEAR_END = 40;
const UP = ["ArrowUp", "PageUp", "Home"];

export const createLog = (root, show, onChosen) => {
  const panel = () => document.getElementById("log");
  const list = () => document.getElementById("log-lines");
  const lines = () => list().getElementsByClassName("line");
  const newer = () => document.getElementById("log-newer");
  let isFollowing = true;
  // The newest line is on the page, so the next one belongs behind it.
  let isAtEnd = newer().hidden;
  let hasSkipped = false;
  let restBelow = null;
  let wasFocused = false;
  // Where the list was left: what is elsewhere was moved by the user.
  let top = 0;

  const setFollowing = (value) => {
    isFollowing = value;
    panel().querySelector("[data-follow]").checked = value;
  };

  const moveTo = (place) => {
    list().scrollTop = place;
    top = list().scrollTop;
  };

  const toEnd = () => moveTo(list().scrollHeight);

  const leaveEnd = () => {
    isAtEnd = false;
    newer().hidden = false;
  };

  const removeFirst = (count) => [...lines()].slice(0, count).forEach((l) => l.remove());

  // What is before the first line is there, but not on the page.
  const offerEarlier = () => {
    const earlier = document.getElementById("log-earlier");
    if (lines().length === 0) return;
    earlier.querySelector("[data-before]").value = lines()[0].dataset.seq;
    earlier.hidden = false;
  };

  const passes = (line) => {
    const { resource, host } = panel().dataset;
    const isChosen =
      (!resource || line.dataset.resource === resource) &&
      (!host || line.dataset.host === host);
    const isLater =
      lines().length === 0 || Number(line.dataset.seq) > Number(lines()[0].dataset.seq);
    return isChosen && (isLater || hasSkipped);
  };

  const choose = async ({ resource, host }, follows = isFollowing) => {
    const query = new URLSearchParams();
    if (resource) query.set("resource", resource);
    if (host) query.set("host", host);
    const address = `${root.dataset.logUrl}?${query}`;
    await window.htmx.ajax("GET", address, { target: "#log", swap: "outerHTML" });
    history.replaceState(null, "", resource ? `?${query}` : location.pathname);
    isAtEnd = true;
    hasSkipped = false;
    setFollowing(follows);
    markChosen(root, panel().dataset);
    moveTo(follows ? list().scrollHeight : 0);
    onChosen(panel().dataset);
  };

  root.addEventListener("click", (event) => {
    const link = event.target.closest("[data-filter]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    choose(link.dataset, isFollowing || link.dataset.newest !== undefined);
  });

  root.addEventListener("change", ({ target }) => {
    if (!target.matches("[data-follow]")) return;
    isFollowing = target.checked;
    if (isFollowing && !isAtEnd) choose(panel().dataset, true);
    else if (isFollowing) toEnd();
  });

  // Moving up stops following, before the next lines take the place; at the end it goes on.
  const stop = ({ target }) =>
    target.closest?.(".log__lines") && list().scrollTop > 0 && setFollowing(false);
  root.addEventListener("wheel", (e) => e.deltaY < 0 && stop(e), { passive: true });
  root.addEventListener("keydown", (e) => UP.includes(e.key) && stop(e));
  root.addEventListener(
    "scroll",
    ({ target }) => {
      if (target.id !== "log-lines" || target.scrollTop === top) return;
      const rest = target.scrollHeight - target.scrollTop - target.clientHeight;
      setFollowing(isAtEnd && target.scrollTop > top && rest < NEAR_END);
      top = target.scrollTop;
    },
    { capture: true, passive: true },
  );

  // Earlier lines come above: what is read stays where it is.
  root.addEventListener("htmx:beforeSwap", ({ target }) => {
    if (target.id !== "log-earlier") return;
    setFollowing(false);
    restBelow = list().scrollHeight - list().scrollTop;
    wasFocused = target.contains(document.activeElement);
  });
  root.addEventListener("htmx:afterSwap", () => {
    if (restBelow === null) return;
    moveTo(list().scrollHeight - restBelow);
    restBelow = null;
    // The button hides when there is nothing earlier, and cannot keep the focus.
    const earlier = document.getElementById("log-earlier");
    if (wasFocused && earlier.hidden) list().focus({ preventScroll: true });
    const tooMany = [...lines()].slice(MOST_LINES);
    tooMany.forEach((line) => line.remove());
    if (tooMany.length > 0) leaveEnd();
    // The button goes when nothing is earlier: whoever pressed it goes on in the list.
    if (document.activeElement === document.body) list().focus({ preventScroll: true });
  });

  markChosen(root, panel().dataset);
  return {
    append(line) {
      if (!isAtEnd || !passes(line)) return;
      list().querySelector("[data-log-empty]")?.remove();
      const isAnew = hasSkipped;
      hasSkipped = false;
      if (isAnew && !isFollowing) return leaveEnd();
      // Only now, so that the list is never seen empty.
      if (isAnew) removeFirst(lines().length);
      show(line);
      list().append(line);
      if (isAnew) offerEarlier();
    },
    // Lines were left out: there are too many to look at.
    skip() {
      if (isFollowing) hasSkipped = true;
      else leaveEnd();
    },
    follow() {
      const tooMany = lines().length - MOST_LINES;
      if (tooMany > 0 && !isFollowing) leaveEnd();
      if (!isFollowing) return;
      if (tooMany > 0) {
        removeFirst(tooMany);
        offerEarlier();
      }
      toEnd();
    },
    toEnd,
    chosen: () => ({ resource: panel().dataset.resource, host: panel().dataset.host }),
  };
};
