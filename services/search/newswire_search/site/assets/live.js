// New headlines: counts articles that the live stream announces, and offers to load them. Nothing moves by itself.
"use strict";

const MAX_FAILURES = 5; // in a row, after which the page stops trying

for (const box of document.querySelectorAll("[data-live]")) listen(box);

function listen(box) {
  const status = box.querySelector("[role=status]");
  const link = box.querySelector("a");
  const button = box.querySelector("button");
  const seen = new Set([...document.querySelectorAll("main a[href^='/articles/']")].map((a) => a.pathname.split("/")[2]));
  const fresh = new Set();
  let source = null;
  let paused = false;
  let failures = 0;

  const tell = () => {
    const count = fresh.size;
    box.hidden = count === 0 && !paused;
    link.hidden = count === 0;
    // A screen reader announces changes of a region that it has seen, so the text comes after the box.
    requestAnimationFrame(() => (status.textContent = text(count)));
  };
  const text = (count) =>
    count === 0 ? "" : count === 1 ? box.dataset.one : box.dataset.many.replace("{count}", count);

  const open = () => {
    source = new EventSource(box.dataset.live);
    source.addEventListener("open", () => (failures = 0));
    source.addEventListener("newswire.article.published.v1", (message) => {
      const { data } = JSON.parse(message.data);
      if (data.version !== 1 || seen.has(data.id) || fresh.has(data.id)) return;
      fresh.add(data.id);
      tell();
    });
    source.addEventListener("newswire.article.retracted.v1", (message) => {
      if (fresh.delete(JSON.parse(message.data).data.id)) tell();
    });
    source.addEventListener("error", () => {
      failures += 1;
      if (failures >= MAX_FAILURES || source.readyState === EventSource.CLOSED) source.close();
    });
  };

  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    button.textContent = paused ? box.dataset.resume : box.dataset.pause;
    if (paused) source.close();
    else open();
    tell();
  });
  addEventListener("pagehide", () => source?.close());
  open();
}
