// The folded answers of a command: their list is fetched again when guests have
// answered, at most so often that two hundred answers do not make two hundred lists.
// One list at a time: a search for a text may take seconds, and a newer one ends it. The
// list of a push or fetch begins with the copies that run: there a start is news.
import { applyFragments } from "../fragments.js";

const EVERY = 700;
const FIRST = 100;

export const createAnswers = () => {
  const panel = document.getElementById("answers");
  let timer = 0;
  let last = 0;
  let hasNews = false;

  const fetchList = async () => {
    hasNews = false;
    const chosen = new URLSearchParams(new FormData(panel.querySelector("form")));
    const page = new URLSearchParams(location.search).get("page");
    if (page) chosen.set("page", page);
    const address = `${panel.dataset.answersUrl}?${chosen}`;
    const answer = await fetch(address).catch(() => null);
    const isGood = answer?.ok && !answer.redirected;
    applyFragments(isGood ? await answer.text().catch(() => "") : "", null);
    last = Date.now();
    timer = hasNews ? setTimeout(fetchList, EVERY) : 0;
  };

  return {
    touch(frame) {
      if (!panel) return;
      const isStart = frame.kind === "task-started" && "copies" in panel.dataset;
      const isEnd = frame.kind === "task-finished" || frame.type !== "event";
      if (!isStart && !isEnd) return;
      hasNews = true;
      timer ||= setTimeout(fetchList, Math.max(FIRST, last + EVERY - Date.now()));
    },
  };
};
