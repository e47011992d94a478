// Mouse, touch screen and keyboard on the diagram: what they do is in view.js.

import { actions, region, scale, zoom } from "./view.js";

const DRAG_PX = 4;
const keys = { "+": "in", "=": "in", "-": "out", 0: "whole", 1: "actual" };

const onWheel = (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  zoom(scale() * Math.exp(-event.deltaY * 0.002), event);
};

// A mouse drags; a finger scrolls without help, and two fingers pinch.
const onPointerDown = (down) => {
  if (down.pointerType === "touch" || down.button !== 0) return;
  const here = down.currentTarget;
  const begin = { left: here.scrollLeft, top: here.scrollTop };
  const over = new AbortController();
  let drags = false;
  const move = (event) => {
    if (!event.buttons) return end(); // a scroll bar tells nobody that it was let go
    const [x, y] = [event.clientX - down.clientX, event.clientY - down.clientY];
    if (!drags && Math.hypot(x, y) < DRAG_PX) return;
    if (!drags) here.setPointerCapture(down.pointerId);
    drags = true;
    here.toggleAttribute("data-held", true);
    here.scrollTo(begin.left - x, begin.top - y);
  };
  const end = () => {
    over.abort();
    here.toggleAttribute("data-held", false);
    if (!drags) return;
    // The click that ends a drag opens nothing.
    const stop = (click) => click.preventDefault();
    here.addEventListener("click", stop, { capture: true, once: true });
    setTimeout(() => here.removeEventListener("click", stop, { capture: true }));
  };
  here.addEventListener("pointermove", move, { signal: over.signal });
  for (const name of ["pointerup", "pointercancel"])
    document.addEventListener(name, end, { signal: over.signal });
};

let pinch = null;
const onTouch = (event) => {
  region().toggleAttribute("data-held", event.touches.length > 1);
  if (event.touches.length !== 2) {
    pinch = null;
    return;
  }
  event.preventDefault();
  const [one, other] = event.touches;
  const span = Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  const clientX = (one.clientX + other.clientX) / 2;
  const clientY = (one.clientY + other.clientY) / 2;
  if (pinch) zoom((pinch.scale * span) / pinch.span, { clientX, clientY });
  else pinch = { span, scale: scale() };
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  if (!event.target.closest("[data-diagram], [data-net-tools] button")) return;
  event.preventDefault();
  actions[keys[event.key]]();
});

export const listen = (here) => {
  here.addEventListener("wheel", onWheel, { passive: false });
  here.addEventListener("pointerdown", onPointerDown);
  here.addEventListener("dragstart", (event) => event.preventDefault());
  for (const name of ["touchstart", "touchmove", "touchend", "touchcancel"])
    here.addEventListener(name, onTouch, { passive: false });
};
