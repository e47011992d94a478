// Says on the page that the browser did not use a passkey; allauth's scripts tell by an event.

document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  for (const element of document.querySelectorAll("[data-passkey-failed]")) {
    element.hidden = false;
  }
});
