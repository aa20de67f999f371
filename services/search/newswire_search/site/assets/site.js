// What pages do better with scripts: times in the reader's zone, sharing, suggestions. Without them every page is complete.
"use strict";

// Times. The server writes UTC; the title keeps it.
const locale = document.documentElement.dataset.formats;
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const formats = {};
// A format takes milliseconds to make, so each is made when it is first used.
const format = (name, options, at) => (formats[name] ??= new Intl.DateTimeFormat(locale, options)).format(at);
const moment = (at) =>
  `${format("day", { dateStyle: "long" }, at)}, ${format("time", { ...CLOCK, timeZoneName: "short" }, at)}`;
// Lists by day have the days of UTC: a time on another day in the reader's zone says so.
const clock = (at) =>
  at.getDate() === at.getUTCDate()
    ? format("clock", CLOCK, at)
    : format("other day", { ...CLOCK, day: "numeric", month: "short" }, at);

const times = document.querySelectorAll("time[datetime][title]");
// The name of the zone takes milliseconds as well.
const inUtc = () => new Date().getTimezoneOffset() === 0 && ["UTC", "Etc/UTC"].includes(Intl.DateTimeFormat().resolvedOptions().timeZone);
for (const time of times.length === 0 || inUtc() ? [] : times) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) continue;
  const shown = "clock" in time.dataset ? clock(at) : moment(at);
  if (time.textContent !== shown) time.textContent = shown;
}

// Sharing: buttons that need a script are hidden without it.
const said = document.querySelector("[data-said]");
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  const label = button.textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = button.dataset.done;
    if (said) said.textContent = button.dataset.done;
    setTimeout(() => (button.textContent = label), 3000);
  });
}
for (const button of document.querySelectorAll("button[data-share]")) {
  if (!navigator.share) continue;
  button.hidden = false;
  button.addEventListener("click", () => {
    navigator.share({ url: button.dataset.share, title: button.dataset.title }).catch(() => {}); // the reader changed their mind
  });
}

// Suggestions while a reader types into a search box, after the pattern of an editable combobox with a listbox popup
// (WAI-ARIA Authoring Practices).
const PAUSE = 120; // ms without a key press before suggestions are requested
const PATHS = { topic: "/topics/", author: "/authors/" };

for (const input of document.querySelectorAll("input[data-suggest]")) attach(input);

// On a narrow screen the current section may be outside of the row that scrolls. This reads the layout, so it comes after all
// that changes the page: otherwise the page would be laid out twice.
const current = document.querySelector(".sections [aria-current]");
const row = current?.closest("ul");
if (row && row.scrollWidth > row.clientWidth) {
  const [item, shown] = [current.getBoundingClientRect(), row.getBoundingClientRect()];
  row.scrollLeft += item.left + item.width / 2 - (shown.left + shown.width / 2);
}

function attach(input) {
  const names = Object.fromEntries(input.dataset.kinds.split(";").map((pair) => pair.split("=")));
  const list = document.createElement("ul");
  list.className = "suggestions";
  list.id = `${input.id || "q"}-suggestions`;
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", input.dataset.label);
  input.after(list);
  input.setAttribute("role", "combobox");
  input.setAttribute("aria-autocomplete", "list");
  input.setAttribute("aria-expanded", "false");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("autocomplete", "off");

  let asking = null;
  let timer = 0;
  let active = -1;

  const close = () => {
    clearTimeout(timer);
    asking?.abort();
    list.hidden = true;
    list.replaceChildren();
    mark(-1);
    input.setAttribute("aria-expanded", "false");
  };

  const mark = (index) => {
    list.children[active]?.setAttribute("aria-selected", "false");
    active = index;
    const option = list.children[active];
    if (option) {
      option.setAttribute("aria-selected", "true");
      option.scrollIntoView({ block: "nearest" });
      input.setAttribute("aria-activedescendant", option.id);
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  };

  const ask = async () => {
    const typed = input.value;
    if (!typed.trim()) return close();
    asking?.abort();
    asking = new AbortController();
    try {
      const answer = await fetch(`/v1/search/suggest?limit=8&q=${encodeURIComponent(typed)}`, { signal: asking.signal });
      if (!answer.ok) return close();
      const { suggestions } = await answer.json();
      if (input.value === typed && document.activeElement === input) show(suggestions);
    } catch (error) {
      if (error.name !== "AbortError") close(); // the box itself still works
    }
  };

  const show = (suggestions) => {
    if (!suggestions.length) return close();
    mark(-1);
    list.replaceChildren(...suggestions.map(option));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
  };

  const option = (suggestion, index) => {
    const item = document.createElement("li");
    item.id = `${list.id}-${index}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", "false");
    item.dataset.href = suggestion.id
      ? `/articles/${encodeURIComponent(suggestion.id)}`
      : PATHS[suggestion.kind] + encodeURIComponent(suggestion.value);
    const value = document.createElement("bdi");
    value.textContent = suggestion.value;
    item.append(value);
    if (names[suggestion.kind]) {
      const kind = document.createElement("span");
      kind.className = "kind";
      kind.textContent = names[suggestion.kind];
      item.append(" ", kind);
    }
    return item;
  };

  const go = (item) => location.assign(item.dataset.href);

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  });
  input.addEventListener("keydown", (event) => {
    const count = list.children.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (!count) return;
      event.preventDefault();
      const next = active + (event.key === "ArrowDown" ? 1 : -1);
      mark(next >= count ? -1 : next < -1 ? count - 1 : next); // past either end is the box itself
    } else if (event.key === "Enter" && active >= 0) {
      event.preventDefault();
      go(list.children[active]);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      close();
    }
  });
  input.addEventListener("blur", close);
  list.addEventListener("pointerdown", (event) => event.preventDefault()); // otherwise the box loses focus before the click
  list.addEventListener("click", (event) => {
    const item = event.target.closest("[role=option]");
    if (item) go(item);
  });
}
