// What every page has: polling while it is seen, menus that close, forms with their token.

const token = /name="csrfmiddlewaretoken" value="[^"]*"/g;
const seen = new Map();

// [data-poll="4"]: ask htmx for news every 4 seconds, but never under a user's hands; with
// [data-poll-live="30"] every 30 while a websocket brings them, and at once with [data-due].
const held = (element) =>
  element.querySelector("details[data-hold][open], [data-held]") !== null ||
  element.querySelector("form:focus-within input, form:focus-within textarea") !== null;

const period = ({ dataset }) => {
  const isLive = document.documentElement.hasAttribute("data-live");
  return Number((isLive && dataset.pollLive) || dataset.poll);
};

let ticks = 0;
setInterval(() => {
  ticks += 1;
  if (document.visibilityState !== "visible" || !window.htmx) return;
  for (const element of document.querySelectorAll("[data-poll]")) {
    const due = ticks % period(element) === 0 || "due" in element.dataset;
    if (!due || held(element)) continue;
    delete element.dataset.due;
    window.htmx.trigger(element, "poll");
  }
}, 1000);

// A poll that brings the same again leaves the page, the focus and the scroll alone.
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { target, xhr } = detail;
  if (xhr.status === 422) detail.shouldSwap = true;
  const isPoll = target.matches("[data-poll]");
  if (!isPoll && !target.matches("#listing, .star")) return;
  if (isPoll && target.querySelector("[data-held]")) {
    detail.shouldSwap = false;
    return;
  }
  if (xhr.responseURL && new URL(xhr.responseURL).pathname.startsWith("/login")) {
    location.reload();
    detail.shouldSwap = false;
    return;
  }
  if (!isPoll) return;
  const text = xhr.responseText.replace(token, "");
  if (seen.get(target.id) === text) detail.shouldSwap = false;
  seen.set(target.id, text);
});

// What came by a websocket is newer than the last poll: the next one counts again.
document.addEventListener("page:changed", ({ detail }) => seen.delete(detail));

// A poll that gets no answer: the page says since when it shows nothing new.
const cut = document.querySelector("[data-cut]");
const answered = { at: new Date() };
const onAnswer = () => {
  answered.at = new Date();
  if (cut) cut.hidden = true;
};
const onSilence = ({ target }) => {
  if (!cut || !target.matches?.("[data-poll]")) return;
  cut.querySelector("[data-since]").textContent = answered.at.toLocaleTimeString();
  cut.hidden = false;
};
document.addEventListener("htmx:afterOnLoad", onAnswer);
document.addEventListener("htmx:sendError", onSilence);
document.addEventListener("htmx:timeout", onSilence);
document.addEventListener("htmx:responseError", onSilence);

// The tab's title says how it stands, also after a poll.
document.addEventListener("htmx:afterSwap", () => {
  const title = document.querySelector("[data-title]")?.dataset.title;
  if (title) document.title = title;
});

// [data-copies="id"]: a button that copies the text of an element.
const COPIED_MS = 2000;
const showCopies = () => {
  for (const button of document.querySelectorAll("[data-copies]")) button.hidden = false;
};
showCopies();
document.addEventListener("htmx:afterSwap", showCopies);
document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copies]");
  const source = button && document.getElementById(button.dataset.copies);
  if (!source) return;
  button.dataset.words ??= button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    // Without HTTPS a browser keeps its clipboard from scripts.
    getSelection().selectAllChildren(source);
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => (button.textContent = button.dataset.words), COPIED_MS);
});

// Fragments that come over the websocket know no token: forms take the page's.
document.addEventListener("submit", ({ target }) => {
  if (target.method !== "post" || target.elements.csrfmiddlewaretoken) return;
  const headers = JSON.parse(document.body.getAttribute("hx-headers") || "{}");
  const input = document.createElement("input");
  Object.assign(input, { type: "hidden", name: "csrfmiddlewaretoken" });
  input.value = headers["X-CSRFToken"] || "";
  target.append(input);
});

document.addEventListener("click", ({ target }) => {
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!menu.contains(target)) menu.open = false;
  }
});
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  const menu = document.querySelector("details[data-menu][open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
