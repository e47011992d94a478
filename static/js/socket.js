// One websocket that comes back: after a loss it is opened again, later each time.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15000;
// 4400 not understood, 4401 not signed in, 4404 no such run for this user, 4429 too many.
const FINAL = {
  4400: "The server did not understand this page. Load it again.",
  4401: "You are signed out. Load the page again to sign in.",
  4404: "This run is gone, or no longer yours.",
  4429: "You have too many pages open that follow runs. Close some, then load this one again.",
};

export const connect = (path, { onOpen, onFrame, onState, isOver }) => {
  const address = new URL(path, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  let socket;
  let wait = FIRST_WAIT;
  let timer = 0;
  let isEnded = false;

  const live = {
    isOpen: () => socket.readyState === WebSocket.OPEN,
    send: (frame) => live.isOpen() && socket.send(JSON.stringify(frame)),
    close: () => {
      isEnded = true;
      clearTimeout(timer);
      window.removeEventListener("online", retry);
      socket.close();
    },
  };

  const open = () => {
    clearTimeout(timer);
    socket = new WebSocket(address);
    socket.addEventListener("open", () => {
      wait = FIRST_WAIT;
      onState("");
      onOpen(live);
    });
    socket.addEventListener("message", ({ data }) => onFrame(JSON.parse(data), live));
    socket.addEventListener("close", ({ code }) => {
      if (isEnded || isOver() || code === 1000) return;
      if (code in FINAL) {
        onState(FINAL[code]);
        return;
      }
      onState("Reconnecting… the run goes on meanwhile.");
      timer = setTimeout(open, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT);
    });
  };

  // Back from sleep or without a network: do not wait for the timer.
  const retry = () => {
    if (socket.readyState === WebSocket.CLOSED && !isOver()) open();
  };
  window.addEventListener("online", retry);
  open();
  return live;
};
