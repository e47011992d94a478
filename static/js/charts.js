// The charts of a guest's or a host's load: drawn over their tables, and kept up to date.
// The tables hold the same in words; without uPlot they are all there is.

import { shown, steps, timeOf } from "./charts/units.js";

const HEIGHT = 150;
const panel = document.querySelector("[data-load]");
const charts = [];

// uPlot has seconds.
const secondOf = (moment) => Date.parse(moment) / 1000;

const colourOf = (element, property = "color") => getComputedStyle(element)[property];

// Red above the limit: the line's colour changes at its height.
const strokeOf = (colour, limit, overload) => (plot) => {
  if (!limit) return colour;
  const { top, height } = plot.bbox;
  const at = (plot.valToPos(limit, "y", true) - top) / height;
  if (at <= 0 || !Number.isFinite(at)) return colour;
  if (at >= 1) return overload;
  const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
  gradient.addColorStop(0, overload);
  gradient.addColorStop(at, overload);
  gradient.addColorStop(at, colour);
  gradient.addColorStop(1, colour);
  return gradient;
};

const optionsOf = (figure, place, rows) => {
  const { unit } = figure.dataset;
  const [limit, most] = [Number(figure.dataset.limit), Number(figure.dataset.most)];
  const isWeek = panel.dataset.load.endsWith("week");
  const overload = figure.querySelector("[data-limit-colour]");
  const pointed = figure.querySelector("[data-pointed]");
  const axis = {
    stroke: colourOf(place),
    font: "11px system-ui, sans-serif",
    grid: { stroke: colourOf(place, "borderTopColor"), width: 1 },
    ticks: { show: false },
  };
  const point = (plot) => {
    const { idx } = plot.cursor;
    const figures = rows.map((row, number) => {
      const value = idx == null ? null : plot.data[number + 1][idx];
      return value == null ? "" : `${row.innerText.trim()} ${shown(unit, value)}`;
    });
    const words = figures.filter(Boolean);
    pointed.textContent = words.length ? [timeOf(plot.data[0][idx], isWeek), ...words].join(" · ") : "";
  };
  return {
    width: place.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: "load" }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (plot, least, top) => [0, Math.max(1.05 * (top ?? 0), most, 1)] } },
    axes: [
      {
        ...axis,
        size: 30,
        space: 70,
        values: (plot, seconds) => seconds.map((second) => timeOf(second, isWeek, true)),
      },
      {
        ...axis,
        size: 68,
        space: 28,
        incrs: steps(unit),
        values: (plot, values) => values.map((value) => shown(unit, value)),
      },
    ],
    series: [
      {},
      ...rows.map((row) => ({
        stroke: strokeOf(
          colourOf(row.querySelector("[data-colour]"), "backgroundColor"),
          limit,
          overload && colourOf(overload),
        ),
        width: 1.5,
      })),
    ],
    hooks: { setCursor: [point] },
  };
};

const create = (Plot, figure, data) => {
  const place = figure.querySelector("[data-plot]");
  const rows = [...figure.querySelectorAll("tr[data-column] th")];
  const names = rows.map((row) => row.parentElement.dataset.column);
  const columns = (news) => [news.times.map(secondOf), ...names.map((name) => news.columns[name])];
  let plot = null;
  let newest = data;
  const show = (news) => {
    newest = news;
    plot.setData(columns(news), false);
    plot.setScale("x", { min: secondOf(news.begins_at), max: secondOf(news.ends_at) });
  };
  const build = () => {
    plot?.destroy();
    plot = new Plot(optionsOf(figure, place, rows), columns(newest), place);
    show(newest);
  };
  build();
  new ResizeObserver(() => {
    if (place.clientWidth) plot.setSize({ width: place.clientWidth, height: HEIGHT });
  }).observe(place);
  return { build, show };
};

const write = (data) => {
  for (const row of panel.querySelectorAll("tr[data-column]"))
    for (const cell of row.querySelectorAll("[data-figure]")) {
      const words = data.table[row.dataset.column][cell.dataset.figure] || "–";
      if (cell.textContent !== words) cell.textContent = words;
    }
  if (data.times.length) panel.querySelector("[data-nothing]")?.remove();
};

const ask = async () => {
  const answer = await fetch(panel.dataset.load, { headers: { Accept: "application/json" } });
  if (!answer.ok || answer.redirected) throw new Error(`${panel.dataset.load}: ${answer.status}`);
  return answer.json();
};

const loadSheet = () =>
  new Promise((resolve, reject) => {
    const sheet = document.createElement("link");
    Object.assign(sheet, { rel: "stylesheet", onload: resolve, onerror: reject });
    sheet.href = new URL("../vendor/uplot.css", import.meta.url).href;
    document.head.append(sheet);
  });

const start = async () => {
  const [{ Plot }, data] = await Promise.all([import("../vendor/uplot.js"), ask(), loadSheet()]);
  write(data);
  charts.push(...[...panel.querySelectorAll("[data-chart]")].map((figure) => create(Plot, figure, data)));
  const redraw = () => charts.forEach(({ build }) => build());
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  setInterval(async () => {
    if (document.visibilityState !== "visible") return;
    try {
      const news = await ask();
      write(news);
      charts.forEach(({ show }) => show(news));
    } catch (error) {
      console.warn("The charts are not up to date.", error);
    }
  }, 1000 * Number(panel.dataset.every));
};

if (panel) start().catch((error) => console.warn("There are no charts.", error));
