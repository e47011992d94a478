// A guest's screen: noVNC on the console's websocket, which it takes for one of its own.

import { RFB } from "../../vendor/novnc.js";
import { createKeyboard } from "./keyboard.js";
import { store, stored } from "./storage.js";

// noVNC's side of one connection to the guest's VNC server.
const channelFor = (send, onFailure) => {
  const channel = {
    binaryType: "arraybuffer",
    protocol: "",
    readyState: "open",
    onopen: null,
    onmessage: null,
    onerror: null,
    onclose: null,
    send,
    // noVNC closes where it does not understand the server, or where it was told to.
    close: () => {
      if (channel.readyState === "closed") return;
      channel.readyState = "closed";
      queueMicrotask(() => channel.onclose?.({}));
      onFailure();
    },
  };
  return channel;
};

export const createDisplay = async (box, { label }, mayType) => {
  let rfb = null;
  let channel = null;
  let send = () => {};
  let isReady = () => {};
  let takesKeys = false;
  let leave = () => {};
  let fail = () => {};
  let isScaled = stored("scaled", true);

  const end = () => {
    const isOpen = channel?.readyState === "open";
    channel = null;
    if (isOpen) rfb.disconnect();
  };

  const begin = () => {
    const focused = document.activeElement;
    const takesFocus = focused === document.body || box.contains(focused);
    end();
    const opened = channelFor(
      (bytes) => opened === channel && send(bytes),
      () => opened === channel && fail("This browser does not understand the guest's screen."),
    );
    channel = opened;
    takesKeys = false;
    rfb = new RFB(box, opened, { shared: true });
    rfb.addEventListener("connect", () => (takesKeys = opened === channel));
    rfb.viewOnly = !mayType();
    rfb.scaleViewport = isScaled;
    rfb.background = "transparent";
    const canvas = box.querySelector("canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", mayType() ? "application" : "img");
    canvas.setAttribute("aria-label", label);
    if (takesFocus) canvas.focus();
    isReady();
  };

  box.addEventListener(
    "keydown",
    (event) => {
      if (!(event.ctrlKey && event.shiftKey && event.code === "KeyL")) return;
      event.preventDefault();
      event.stopPropagation();
      leave();
    },
    { capture: true },
  );
  // noVNC lets go of held keys when the window loses the focus; here also when it does.
  box.addEventListener("focusout", () => window.dispatchEvent(new Event("blur")));

  return {
    isWatched: true,
    clear: begin,
    after: (act) => act(),
    expectReplay: () => {},
    write: (bytes, onShown) => {
      channel?.onmessage({ data: bytes });
      onShown(bytes.length);
    },
    onType: (type) => (send = type),
    onReady: (ready) => (isReady = ready),
    onFailure: (failed) => (fail = failed),
    onResize: () => {},
    size: () => ({}),
    focus: () => rfb?.focus(),
    onLeave: (go) => (leave = go),
    addTools: (part, _say, mayPress) => {
      const scaled = part("scaled");
      scaled.checked = isScaled;
      scaled.addEventListener("change", () => {
        isScaled = scaled.checked;
        store("scaled", isScaled);
        if (rfb) rfb.scaleViewport = isScaled;
      });
      part("attention")?.addEventListener("click", () => {
        rfb?.sendCtrlAltDel();
        rfb?.focus();
      });
      const send = (...key) => takesKeys && mayPress() && (rfb.sendKey(...key), true);
      if (part("keyboard")) createKeyboard(part, send);
    },
  };
};
