// Elapsed times tick: <time data-since="2026-01-01T12:00:00+00:00">.

const said = (seconds) => {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  const rest = String(minutes % 60).padStart(2, "0");
  return `${Math.floor(minutes / 60)} h ${rest} min`;
};

const tick = () => {
  for (const time of document.querySelectorAll("time[data-since]")) {
    const since = Date.parse(time.dataset.since);
    time.textContent = said(Math.max(0, Math.round((Date.now() - since) / 1000)));
  }
};

export const startClock = () => {
  tick();
  setInterval(tick, 1000);
};
