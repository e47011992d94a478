// The bell of every page; and notifications on the screen, for users who asked for them in
// this browser, which are asked for also while the page is not seen. And the switch.

const ON = "testbed-notifications";
const SHOWN = "testbed-notifications-shown";
const EVERY_MS = 20000;

const mayShow = () => "Notification" in window && Notification.permission === "granted";
const isOn = () => mayShow() && localStorage.getItem(ON) === "on";

// Several tabs ask: what one has shown, the others leave; the tag replaces a second one.
const show = ({ id, title, text, address }) => {
  if (id <= Number(localStorage.getItem(SHOWN) || 0)) return;
  localStorage.setItem(SHOWN, String(id));
  const shown = new Notification(title, { body: text, tag: `testbed-${id}` });
  shown.onclick = () => {
    window.focus();
    location.assign(address);
  };
};

const ask = async (address) => {
  if (!isOn()) return;
  try {
    const answer = await fetch(address, { headers: { Accept: "application/json" }, redirect: "error" });
    if (!answer.ok) return;
    const { notifications } = await answer.json();
    notifications.reverse().forEach(show);
  } catch {
    // The page itself says when the server is away.
  }
};

const bell = document.querySelector("#bell[data-new]");
if (bell) {
  setInterval(() => {
    if (document.visibilityState === "visible" && window.htmx) window.htmx.trigger(bell, "look");
    ask(bell.dataset.new);
  }, EVERY_MS);
  ask(bell.dataset.new);
  // Signed out, the answer is the page of the sign-in; what is typed here stays.
  bell.addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (new URL(detail.xhr.responseURL).pathname !== new URL(bell.getAttribute("hx-get"), location).pathname)
      detail.shouldSwap = false;
  });
}

const panel = document.querySelector("[data-browser]");
if (panel && "Notification" in window) {
  const [state, on, off] = ["state", "on", "off"].map((name) => panel.querySelector(`[data-browser-${name}]`));
  const draw = () => {
    const denied = Notification.permission === "denied";
    on.hidden = denied || isOn();
    off.hidden = !isOn();
    state.textContent = denied
      ? "This browser refuses notifications of this site. Allow them in the browser's settings of the site."
      : isOn()
        ? "New notifications are shown on this screen while a page of the testbed is open, also in the background."
        : "Nothing is shown on this screen outside of the pages.";
  };
  on.addEventListener("click", async () => {
    if ((await Notification.requestPermission()) === "granted") localStorage.setItem(ON, "on");
    draw();
  });
  off.addEventListener("click", () => {
    localStorage.setItem(ON, "off");
    draw();
  });
  panel.hidden = false;
  draw();
}
