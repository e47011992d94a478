// The page of a run: follows it over the websocket, drives it if this page asked for it.
import { connect } from "./socket.js";
import { applyFragments } from "./fragments.js";
import { createDriver } from "./run/driver.js";
import { createLog } from "./run/log.js";
import { createLogTools } from "./run/logtools.js";
import { createCancel } from "./run/cancel.js";
import { createStages } from "./run/stages.js";
import { createAnswers } from "./run/answers.js";
import { startClock } from "./clock.js";

const root = document.getElementById("run");
const notice = root.querySelector("[data-connection]");
const isOver = ["succeeded", "failed", "cancelled", "interrupted"].includes(
  root.dataset.status,
);

let lastSeq = Number(root.dataset.lastSeq);
const subscribe = (after) =>
  socket?.send({ type: "subscribe", after, log: log.chosen() });
// What comes from now on is of the part that was chosen; what came meanwhile was not.
const tools = createLogTools(root);
const log = createLog(root, tools.show, (panel) =>
  subscribe(Math.min(lastSeq, Number(panel.lastSeq))),
);
const stages = createStages(root);
const answers = createAnswers();
const driver = createDriver(root, document.getElementById("instructions"));
const cancel = createCancel(root, () => socket);
startClock();
log.toEnd();

const show = (frame) => {
  if (frame.type === "skipped") log.skip();
  if (frame.html) applyFragments(frame.html, log);
  if (frame.seq) lastSeq = Math.max(lastSeq, frame.seq);
  const isOfStage = frame.kind ? frame.kind !== "log" : frame.type === "result";
  if (isOfStage) stages.touch(frame.index);
  answers.touch(frame);
};

const onFrame = (frame, socket) => {
  if (frame.type === "events") {
    // A full batch of cards is laid out once.
    frame.events.forEach(show);
    log.follow();
    return;
  }
  show(frame);
  log.follow();
  if (frame.type === "run") {
    root.dataset.status = frame.status;
    stages.refreshAll();
  }
  driver.onFrame(frame, socket);
};

const socket = isOver
  ? null
  : connect(`/ws/orchestration/${root.dataset.run}/?render=html&batch=1&log=tail`, {
      onOpen(live) {
        subscribe(lastSeq);
        driver.onOpen(live);
        cancel.onOpen(live);
      },
      onFrame,
      onState(text) {
        notice.textContent = text;
        notice.hidden = !text;
      },
      isOver: () => driver.isRunOver(),
    });
