// The log: appends what passes the filter, follows the tail, shows one resource or all.

const MOST_LINES = 5000;
const NEAR_END = 40;

export const createLog = (root) => {
  const panel = () => document.getElementById("log");
  const list = () => document.getElementById("log-lines");
  const box = () => panel().querySelector("[data-follow]");
  let isFollowing = true;

  const passes = (line) => {
    const { resource, host } = panel().dataset;
    return (
      (!resource || line.dataset.resource === resource) &&
      (!host || line.dataset.host === host)
    );
  };

  const toEnd = () => {
    list().scrollTop = list().scrollHeight;
  };

  const mark = () => {
    const { resource, host } = panel().dataset;
    for (const task of root.querySelectorAll(".task[aria-current]")) {
      task.removeAttribute("aria-current");
    }
    if (!resource) return;
    for (const head of root.querySelectorAll(".task__head")) {
      const isChosen =
        head.dataset.resource === resource && (!host || head.dataset.host === host);
      if (isChosen) head.parentElement.setAttribute("aria-current", "true");
    }
  };

  const choose = async ({ resource, host }) => {
    const query = new URLSearchParams();
    if (resource) query.set("resource", resource);
    if (host) query.set("host", host);
    const address = `${root.dataset.logUrl}?${query}`;
    await window.htmx.ajax("GET", address, { target: "#log", swap: "outerHTML" });
    history.replaceState(null, "", resource ? `?${query}` : location.pathname);
    box().checked = isFollowing;
    mark();
    if (isFollowing) toEnd();
  };

  root.addEventListener("click", (event) => {
    const link = event.target.closest("[data-filter]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    choose(link.dataset);
  });

  root.addEventListener("change", ({ target }) => {
    if (!target.matches("[data-follow]")) return;
    isFollowing = target.checked;
    if (isFollowing) toEnd();
  });

  // Scrolling up stops following; back at the end it goes on.
  root.addEventListener(
    "wheel",
    ({ target }) => {
      const lines = target.closest(".log__lines");
      if (!lines) return;
      requestAnimationFrame(() => {
        const rest = lines.scrollHeight - lines.scrollTop - lines.clientHeight;
        isFollowing = rest < NEAR_END;
        box().checked = isFollowing;
      });
    },
    { passive: true },
  );

  mark();
  return {
    append(line) {
      if (!passes(line)) return;
      list().querySelector("[data-log-empty]")?.remove();
      list().append(line);
      if (isFollowing && list().childElementCount > MOST_LINES) {
        list().querySelector(".line")?.remove();
      }
    },
    follow() {
      if (isFollowing) toEnd();
    },
    toEnd,
    mark,
  };
};
