// A form of an act is sent once, however often its button is pressed; the server would do it once as well.

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "true";
  });
  window.addEventListener("pageshow", () => delete form.dataset.sent);
}
