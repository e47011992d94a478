// Sends the plan's instructions one by one: the next after the result of the last.
// Only on the page of the user who pressed the button, and only while nobody else does.

export const createDriver = (root, plan) => {
  const instructions = plan ? JSON.parse(plan.textContent) : [];
  let drives = root.dataset.drive !== undefined && instructions.length > 0;
  let next = 0;
  let runIsOver = false;

  const sendNext = (socket) => {
    if (!drives || next >= instructions.length) return;
    const { index, kind } = instructions[next];
    socket.send({ type: "instruction", index, kind });
    next += 1;
  };

  return {
    onOpen(socket) {
      if (next === 0) sendNext(socket);
      // The socket was lost: by now the server drives, so this page follows.
      else drives = false;
    },
    onFrame(frame, socket) {
      if (frame.type === "ack" && !frame.valid) drives = false;
      if (frame.type === "result") sendNext(socket);
      if (frame.type === "run") runIsOver = true;
    },
    isRunOver: () => runIsOver,
  };
};
