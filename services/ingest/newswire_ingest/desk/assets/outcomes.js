// What became of an article or an import, kept current while something is on its way and the page is visible.

const PAUSE_MS = 2000;
const MAX_ROUNDS = 900;
const place = () => document.querySelector("[data-outcomes]");
let rounds = 0;

async function refresh() {
  if (!place()?.hasAttribute("data-open") || rounds++ > MAX_ROUNDS) return;
  if (!document.hidden) {
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const found = page.querySelector("[data-outcomes]");
      if (response.ok && found) place().replaceWith(found);
    } catch {
      // the next round may find the server again
    }
  }
  setTimeout(refresh, PAUSE_MS);
}

setTimeout(refresh, PAUSE_MS);
