// Keeps the list of the live page up to date. Rows are made of the page's own template; texts come from its attributes.
const box = document.querySelector("[data-stream]");
const button = document.querySelector("[data-pause]");
const status = document.querySelector("[data-status]");
const list = box.querySelector("tbody");
const template = document.querySelector("#delivery-row");
const texts = JSON.parse(box.dataset.texts);
const MAX_ROWS = 100;
let source = null;
let added = 0;

function rowOf(delivery) {
  const known = document.getElementById(delivery.id);
  if (known) return known;
  const row = template.content.firstElementChild.cloneNode(true);
  row.id = delivery.id;
  list.prepend(row);
  while (list.rows.length > MAX_ROWS) list.rows[list.rows.length - 1].remove();
  added += 1;
  status.textContent = texts.new_rows.replace("{count}", added);
  return row;
}

function show(delivery) {
  const row = rowOf(delivery);
  const link = row.querySelector("a");
  link.href = delivery.path;
  const time = row.querySelector("time");
  if (time.dateTime !== delivery.created) {
    time.dateTime = delivery.created;
    time.textContent = delivery.created.slice(11, 19);
  }
  row.querySelector("[data-endpoint]").textContent = delivery.endpoint;
  row.querySelector("[data-what]").textContent = delivery.title || texts.types[delivery.type] || delivery.type;
  row.querySelector("[data-attempts]").textContent = delivery.attempts;
  const state = row.querySelector("[data-state]");
  state.textContent = texts.states[delivery.state];
  state.className = `badge ${{ delivered: "good", dead: "off" }[delivery.state] || ""}`;
  document.querySelector("[data-empty]").hidden = true;
  box.querySelector("table").hidden = false;
}

function follow() {
  source = new EventSource(box.dataset.stream);
  source.addEventListener("delivery", (event) => show(JSON.parse(event.data)));
  source.addEventListener("ended", () => { stop(); status.textContent = texts.ended; });
  button.textContent = texts.pause;
  button.setAttribute("aria-pressed", "false");
}

function stop() {
  source.close();
  source = null;
  button.textContent = texts.go_on;
  button.setAttribute("aria-pressed", "true");
}

button.hidden = false;
button.addEventListener("click", () => (source ? stop() : follow()));
follow();
