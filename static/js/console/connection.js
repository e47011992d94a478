// The websocket of a console: a ticket for each opening, and again after a loss.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15000;
const ACKNOWLEDGED = 32 * 1024;
const PIECE = 16 * 1024;
const OVER = 1000;
const FINAL = {
  4400: "The server did not understand this page. Load it again.",
  4401: "You are signed out. Load the page again to sign in.",
  4404: "This console is gone, or no longer yours. Load the page again.",
  4429: "",
};

const ticketFor = async ({ ticket, mode }, mayType) => {
  const headers = JSON.parse(document.body.getAttribute("hx-headers") || "{}");
  const body = new URLSearchParams({ mode, typing: mayType ? "1" : "0" });
  const response = await fetch(ticket, { method: "POST", headers, body });
  if (response.redirected) return { code: 4401 };
  if (response.status === 403 || response.status === 404) return { code: 4404 };
  if (!response.ok) throw new Error(`The ticket: ${response.status}`);
  return response.json();
};

export const connect = (place, { mayType, size, onWords, onData, onLoss }) => {
  const address = new URL("/ws/console/", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const encoder = new TextEncoder();
  let socket = null;
  let attempt = 0;
  let wait = FIRST_WAIT;
  let timer = 0;

  const isOpen = () => socket?.readyState === WebSocket.OPEN;
  const send = (words) => isOpen() && socket.send(JSON.stringify(words));

  const retry = (text) => {
    onLoss(text, false);
    timer = setTimeout(open, wait);
    wait = Math.min(wait * 2, LONGEST_WAIT);
  };

  const listen = (opened, ticket) => {
    let shown = 0;
    const onShown = (bytes) => {
      shown += bytes;
      if (shown < ACKNOWLEDGED || opened !== socket) return;
      send({ type: "taken", bytes: shown });
      shown = 0;
    };
    opened.binaryType = "arraybuffer";
    opened.addEventListener("open", () => send({ type: "open", ticket, ...size() }));
    opened.addEventListener("message", ({ data }) => {
      if (opened !== socket) return;
      if (data instanceof ArrayBuffer) {
        onData(new Uint8Array(data), onShown);
        return;
      }
      const words = JSON.parse(data);
      if (words.state === "open") wait = FIRST_WAIT;
      onWords(words);
    });
    opened.addEventListener("close", ({ code }) => {
      if (opened !== socket) return;
      if (code === OVER) onLoss("", true);
      else if (code in FINAL) onLoss(FINAL[code], true);
      else if (code === 4503) retry("The console gateway does not answer. Trying again…");
      else retry("No connection to the server. Trying again…");
    });
  };

  const open = async () => {
    clearTimeout(timer);
    const number = ++attempt;
    const before = socket;
    socket = null;
    before?.close();
    try {
      const { ticket, code } = await ticketFor(place, mayType());
      if (number !== attempt) return;
      if (code) {
        onLoss(FINAL[code], true);
        return;
      }
      socket = new WebSocket(address);
      listen(socket, ticket);
    } catch {
      if (number === attempt) retry("No connection to the server. Trying again…");
    }
  };

  window.addEventListener("online", () => !isOpen() && timer && open());
  open();
  return {
    open,
    resize: (size) => send({ type: "resize", ...size }),
    ready: () => send({ type: "ready" }),
    type: (data) => {
      const bytes = typeof data === "string" ? encoder.encode(data) : data;
      for (let at = 0; isOpen() && at < bytes.length; at += PIECE)
        socket.send(bytes.subarray(at, at + PIECE));
    },
  };
};
