// How figures and times look on the axes and beside the pointer, as in samples/charts.py.

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

const size = (bytes) => {
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < SIZES.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value.toFixed(unit && !Number.isInteger(value) ? 1 : 0)} ${SIZES[unit]}`;
};

const UNITS = {
  percent: (value) => `${value.toFixed(value < 10 && !Number.isInteger(value) ? 1 : 0)} %`,
  bytes: size,
  "bytes/s": (value) => `${size(value)}/s`,
  number: (value) => (Number.isInteger(value) ? `${value}` : value.toFixed(2)),
};

export const shown = (unit, value) => UNITS[unit](value);

// Bytes are divided by powers of 2, so that an axis says 256 MiB and not 238.4.
const POWERS = Array.from({ length: 46 }, (_, power) => 2 ** power);
const TENS = Array.from({ length: 7 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** (power - 1))).flat();
export const steps = (unit) => (unit.startsWith("bytes") ? POWERS : TENS);

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const formats = {
  hour: new Intl.DateTimeFormat("en-GB", { ...CLOCK, second: "2-digit" }),
  hourAxis: new Intl.DateTimeFormat("en-GB", CLOCK),
  week: new Intl.DateTimeFormat("en-GB", { ...CLOCK, weekday: "short" }),
  weekAxis: new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric" }),
};

export const timeOf = (seconds, isWeek, isAxis = false) =>
  formats[`${isWeek ? "week" : "hour"}${isAxis ? "Axis" : ""}`].format(1000 * seconds);
