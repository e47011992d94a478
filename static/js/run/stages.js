// Stage heads hold counts of all their tasks, also of those that are not shown: when a
// task of a stage has news, the stage is fetched again, at most once a second.
import { applyFragments } from "../fragments.js";

const EVERY = 1000;

export const createStages = (root) => {
  const waiting = new Set();
  let timer = 0;

  const stageOf = (index) =>
    [...root.querySelectorAll(".stage")].find((stage) =>
      stage.dataset.indexes.split(" ").includes(String(index)),
    );

  const fetchStage = async (id) => {
    const stage = document.getElementById(id);
    const answer = await fetch(stage.dataset.stageUrl).catch(() => null);
    if (answer?.ok && !answer.redirected) applyFragments(await answer.text(), null);
  };

  const flush = () => {
    const ids = [...waiting];
    waiting.clear();
    timer = 0;
    ids.forEach(fetchStage);
  };

  const add = (stage) => {
    if (!stage) return;
    waiting.add(stage.id);
    timer ||= setTimeout(flush, EVERY);
  };

  return {
    touch: (index) => add(stageOf(index)),
    refreshAll() {
      root.querySelectorAll(".stage").forEach((stage) => waiting.add(stage.id));
      clearTimeout(timer);
      flush();
    },
  };
};
