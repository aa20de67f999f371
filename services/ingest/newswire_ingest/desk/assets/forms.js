// A form of an act is sent once, however often its button is pressed; the server would do it once as well.

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "true";
  });
  // A page that the browser kept shows what can be done no more, or was done: it is loaded again.
  window.addEventListener("pageshow", (event) => (event.persisted ? location.reload() : delete form.dataset.sent));
}
