// The folded answers of a command: their list is fetched again when guests have
// answered, at most so often that two hundred answers do not make two hundred lists.
// The list of a push or fetch begins with the copies that run: there a start is news.
import { applyFragments } from "./fragments.js";

const EVERY = 700;
const FIRST = 100;

export const createAnswers = () => {
  const panel = document.getElementById("answers");
  let timer = 0;
  let last = 0;

  const fetchList = async () => {
    last = Date.now();
    timer = 0;
    const chosen = new URLSearchParams(new FormData(panel.querySelector("form")));
    const page = new URLSearchParams(location.search).get("page");
    if (page) chosen.set("page", page);
    const address = `${panel.dataset.answersUrl}?${chosen}`;
    const answer = await fetch(address).catch(() => null);
    if (answer?.ok && !answer.redirected) applyFragments(await answer.text(), null);
  };

  return {
    touch(frame) {
      if (!panel) return;
      const isStart = frame.kind === "task-started" && "copies" in panel.dataset;
      const isEnd = frame.kind === "task-finished" || frame.type !== "event";
      if (!isStart && !isEnd) return;
      timer ||= setTimeout(fetchList, Math.max(FIRST, last + EVERY - Date.now()));
    },
  };
};
