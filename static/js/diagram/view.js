// Zooms and moves the diagram. It scrolls in its region, so that the browser's own ways
// to scroll, and to bring into view what has the focus, go on working at any size.

const LEAST = 0.2;
const MOST = 4;
const STEP = 1.25;
// Below it the numbers beside links cannot be read.
const READABLE = 0.8;

// What outlives the poll, which replaces region and picture. `scale` is null as long as
// the style sheet decides; `bounded` keeps the region lower than the window.
const view = { scale: null, bounded: false, left: 0, top: 0 };
let attached = null;

export const region = () => document.querySelector("[data-diagram]");
const picture = () => document.getElementById("net");
const size = () => picture().viewBox.baseVal;
export const scale = () => picture().getBoundingClientRect().width / size().width;

const remember = () => {
  view.left = region().scrollLeft;
  view.top = region().scrollTop;
};

const showScale = () => {
  const output = document.querySelector("[data-net-scale]");
  if (output) output.textContent = `${Math.round(scale() * 100)} %`;
};

// A region stops the keyboard only where it scrolls, but keeps a focus that it has.
const markScrolling = () => {
  const here = region();
  here.removeAttribute("data-sideways"); // it makes room for the fade
  const isWide = here.scrollWidth > here.clientWidth;
  here.toggleAttribute("data-sideways", isWide);
  const isBounded = here.classList.contains("diagram--bounded");
  if (isWide || isBounded) here.tabIndex = 0;
  else if (here !== document.activeElement) here.removeAttribute("tabindex");
};

const draw = () => {
  const { style } = picture();
  const isBounded = view.bounded || view.scale !== null;
  region().classList.toggle("diagram--bounded", isBounded);
  if (view.scale !== null) {
    style.maxWidth = "none";
    style.width = `${size().width * view.scale}px`;
    style.height = `${size().height * view.scale}px`;
  }
  picture().classList.toggle("net--small", scale() < READABLE);
  markScrolling();
  showScale();
};

const middle = () => {
  const box = region().getBoundingClientRect();
  return { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
};

// The point of the picture at `at` stays where it is.
export const zoom = (wanted, at = middle()) => {
  const before = picture().getBoundingClientRect();
  const across = (at.clientX - before.left) / before.width;
  const down = (at.clientY - before.top) / before.height;
  view.scale = Math.min(MOST, Math.max(LEAST, wanted));
  draw();
  const after = picture().getBoundingClientRect();
  region().scrollLeft += after.left + across * after.width - at.clientX;
  region().scrollTop += after.top + down * after.height - at.clientY;
  remember();
};

const showWhole = () => {
  view.bounded = true;
  draw();
  const { paddingLeft, maxHeight } = getComputedStyle(region());
  const padding = 2 * parseFloat(paddingLeft);
  const across = (region().clientWidth - padding) / size().width;
  const down = (parseFloat(maxHeight) - padding) / size().height;
  zoom(Math.min(1, across, down));
};

export const actions = {
  in: () => zoom(scale() * STEP),
  out: () => zoom(scale() / STEP),
  whole: showWhole,
  actual: () => zoom(1),
};

// Moves the region, not the page, until a part of the picture is in its middle.
export const reveal = (part) => {
  view.bounded = true;
  draw();
  const box = part.getBoundingClientRect();
  const { clientX, clientY } = middle();
  region().scrollLeft += box.left + box.width / 2 - clientX;
  region().scrollTop += box.top + box.height / 2 - clientY;
  remember();
};

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-net-zoom]");
  if (button) actions[button.dataset.netZoom]();
});
window.addEventListener("resize", () => picture() && draw());

// Gives a region that the server sent the view that the one before had, and lets
// `listen` wait for what is done to it.
export const attach = (listen) => {
  const here = region();
  if (!here || here === attached) return;
  attached = here;
  here.classList.add("diagram--live");
  draw();
  here.scrollTo(view.left, view.top);
  here.addEventListener("scroll", remember);
  listen(here);
};
