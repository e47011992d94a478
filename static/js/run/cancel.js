// The cancel button: over the socket, else over HTTP, else when the connection is back.

export const createCancel = (root, socket) => {
  let isWanted = false;

  const label = (form, text) => {
    const button = form.querySelector("button");
    button.disabled = true;
    button.lastChild.textContent = ` ${text}`;
  };

  const post = async (form) => {
    try {
      const body = new FormData(form);
      const answer = await fetch(form.action, { method: "POST", body });
      return answer.ok;
    } catch {
      return false;
    }
  };

  root.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.matches("[data-cancel]") || !socket()) return;
    event.preventDefault();
    if (socket().isOpen()) {
      socket().send({ type: "cancel" });
      label(form, "Cancelling…");
      return;
    }
    isWanted = true;
    label(form, "Cancel is sent when the connection is back");
    if (!(await post(form))) return;
    isWanted = false;
    label(form, "Cancelling…");
  });

  return {
    onOpen(live) {
      if (isWanted) live.send({ type: "cancel" });
      isWanted = false;
    },
  };
};
