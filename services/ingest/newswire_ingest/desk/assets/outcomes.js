// What became of an article or an import, kept current while something is on its way and the page is visible.

const PAUSE_MS = 2000;
const MAX_ROUNDS = 900;
const place = () => document.querySelector("[data-outcomes]");
let rounds = 0;

// Changes only what differs, so that the focus and a pressed button stay where they are.
function update(old, now) {
  if (old.isEqualNode(now)) return;
  const same = old.nodeType === Node.ELEMENT_NODE && old.nodeName === now.nodeName && old.childNodes.length === now.childNodes.length;
  if (!same || old.nodeName === "FORM") return old.replaceWith(now);
  for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const children = [...now.childNodes];
  [...old.childNodes].forEach((child, at) => update(child, children[at]));
}

// Where a part with the focus had to be replaced, the focus goes to the same button.
function show(found) {
  const focused = document.activeElement;
  const action = focused?.form?.action;
  update(place(), found);
  if (action && !focused.isConnected) [...document.forms].find((form) => form.action === action)?.querySelector("button")?.focus();
}

async function refresh() {
  if (!place()?.hasAttribute("data-open") || rounds++ > MAX_ROUNDS) return;
  if (!document.hidden) {
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const found = page.querySelector("[data-outcomes]");
      if (response.ok && found) show(found);
    } catch {
      // the next round may find the server again
    }
  }
  setTimeout(refresh, PAUSE_MS);
}

setTimeout(refresh, PAUSE_MS);
