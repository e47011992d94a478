// What the charts of loads use of uPlot: static/vendor/uplot.js, with uplot.css beside it.

import "uplot/dist/uPlot.min.css";

export { default as Plot } from "uplot";
