// The card of the resource whose log is shown is marked.

export const markChosen = (root, { resource, host }) => {
  for (const task of root.querySelectorAll(".task[aria-current]")) {
    task.removeAttribute("aria-current");
  }
  if (!resource) return;
  for (const head of root.querySelectorAll(".task__head")) {
    const isChosen =
      head.dataset.resource === resource && (!host || head.dataset.host === host);
    if (isChosen) head.closest(".task").setAttribute("aria-current", "true");
  }
};
