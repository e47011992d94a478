// How figures and times look on the axes and beside the pointer, as in samples/charts.py.

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

const size = (bytes) => {
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < SIZES.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value.toFixed(unit && value < 100 && !Number.isInteger(value) ? 1 : 0)} ${SIZES[unit]}`;
};

const UNITS = {
  percent: (value) => `${value.toFixed(value < 10 && !Number.isInteger(value) ? 1 : 0)} %`,
  bytes: size,
  "bytes/s": (value) => `${size(value)}/s`,
  number: (value) => (Number.isInteger(value) ? `${value}` : value.toFixed(2)),
};

export const shown = (unit, value) => UNITS[unit](value);

const DIGITS = [1, 2, 5];
const TENS = Array.from({ length: 7 }, (_, power) => DIGITS.map((digit) => digit * 10 ** (power - 1))).flat();
// Round in the unit that is shown, so that an axis says 200 MiB and not 190.7.
const ROUND = [0.5, 1, 2, 5, 10, 20, 50, 100, 200];
const BYTES = SIZES.flatMap((_, unit) => ROUND.slice(unit ? 0 : 1).map((step) => step * 1024 ** unit));
export const steps = (unit) => (unit.startsWith("bytes") ? BYTES : TENS);

// The lab's zone, in which the page says all its times.
const timeZone = document.querySelector("[data-zone]")?.dataset.zone;
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone };
const formats = {
  hour: new Intl.DateTimeFormat("en-GB", { ...CLOCK, second: "2-digit" }),
  hourAxis: new Intl.DateTimeFormat("en-GB", CLOCK),
  week: new Intl.DateTimeFormat("en-GB", { ...CLOCK, weekday: "short" }),
  weekAxis: new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", timeZone }),
};

export const timeOf = (seconds, isWeek, isAxis = false) =>
  formats[`${isWeek ? "week" : "hour"}${isAxis ? "Axis" : ""}`].format(1000 * seconds);
