// The page of a draft: rich text, saving, and the acts, which are available while what is on screen is saved.

import { LocalCopies } from "./local_copies.js";
import { richText } from "./rich_text.js";
import { connectUploads } from "./uploads.js";
import { Saving } from "./saving.js";

const form = document.getElementById("draft");
const texts = JSON.parse(form.dataset.texts);
const status = document.getElementById("save-state");
const notice = document.getElementById("save-notice");
const ignored = new Set(["csrf", "revision"]);

const body = richText(document.getElementById("body"), document.getElementById("toolbar"), { link: askLink, image: askImage });

const page = {
  read() {
    const fields = Object.fromEntries([...new FormData(form)].filter(([name, value]) => !ignored.has(name) && typeof value === "string"));
    return { silent: "", ...fields };
  },
  write(fields) {
    for (const [name, value] of Object.entries(fields)) {
      const field = form.elements[name];
      if (!field) continue;
      if (field.type === "checkbox") field.checked = value === "on";
      else if (name !== "body") field.value = value;
    }
    body.set(fields.body ?? "");
    grow(form.elements.title);
  },
  show(state, detail = "") {
    status.textContent = texts[state];
    status.dataset.state = state;
    for (const act of document.querySelectorAll("[data-act]")) {
      if (state === "saved") act.removeAttribute("aria-disabled");
      else act.setAttribute("aria-disabled", "true");
      act.search = act.search.replace(/revision=\d+/, `revision=${saving.revision}`);
    }
    for (const button of document.querySelectorAll("[data-act-button]")) button.disabled = state !== "saved";
    notice.hidden = !["signed-out", "refused", "not-kept", "offline"].includes(state);
    if (notice.hidden) return;
    notice.firstElementChild.textContent = detail ? `${texts[`${state}-detail`]} ${detail}` : texts[`${state}-detail`];
    notice.querySelector("a").hidden = state !== "signed-out";
  },
  newer(name) {
    const box = document.getElementById("newer");
    box.hidden = false;
    box.querySelector("p").textContent = texts["newer-detail"].replace("{name}", name);
  },
  conflict: showConflict,
};

const copies = new LocalCopies(form.dataset.user, form.dataset.draft);
const saving = new Saving({ form, copies, page });
document.querySelectorAll("[data-without-script]").forEach((each) => (each.hidden = true));
document.addEventListener("click", (event) => {
  const act = event.target.closest("[aria-disabled=true]");
  if (act) event.preventDefault();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  saving.send();
});
form.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "s") return;
  event.preventDefault();
  saving.send();
});
document.getElementById("newer").querySelector("button").addEventListener("click", () => location.reload());
connectUploads(form, texts);
saving.start();
page.show("saved");
const abandoned = await copies.takeAbandoned();
if (abandoned) saving.resume(abandoned);

// A title of several lines: the field is as high as its text.
function grow(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}
form.elements.title.addEventListener("input", (event) => grow(event.target));
form.elements.title.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
window.addEventListener("resize", () => grow(form.elements.title));
grow(form.elements.title);

function askLink(present, done) {
  const dialog = document.getElementById("link-dialog");
  const field = dialog.querySelector("input");
  field.value = present;
  open(dialog, () => done(withScheme(field.value.trim())));
}

function withScheme(address) {
  if (!address || /^(https?:\/\/|mailto:)/i.test(address)) return address;
  return address.includes("@") && !address.includes("/") ? `mailto:${address}` : `https://${address.replace(/^\w+:\/*/, "")}`;
}

function askImage(done) {
  const dialog = document.getElementById("image-dialog");
  const fields = dialog.querySelector("form").elements;
  dialog.querySelector("form").reset();
  open(dialog, () => fields.url.value && done({ url: fields.url.value, alt: fields.alt.value, caption: fields.caption.value }));
}

function open(dialog, done) {
  dialog.returnValue = "";
  dialog.addEventListener("close", () => dialog.returnValue === "ok" && done(), { once: true });
  dialog.showModal();
}

function showConflict(theirs, resolve) {
  const section = document.getElementById("conflict");
  const list = section.querySelector("dl");
  const mine = page.read();
  section.querySelector("h2 + p").textContent = texts["conflict-detail"].replace("{name}", theirs.by);
  list.replaceChildren();
  for (const [name, value] of Object.entries(theirs.fields)) {
    if ((mine[name] ?? "") === value) continue;
    const label = form.querySelector(`label[for="${name}"]`)?.textContent ?? name;
    list.append(element("dt", label), side(texts.mine, plainText(name, mine[name] ?? "")), side(texts.theirs, plainText(name, value)));
  }
  section.hidden = false;
  section.classList.remove("merging");
  section.querySelector("h2").focus();
  for (const button of section.querySelectorAll("button")) {
    button.onclick = () => {
      if (button.value === "merge") return section.classList.add("merging"), body.focus();
      section.hidden = true;
      resolve(button.value);
    };
  }
}

function side(title, value) {
  const made = element("dd", "");
  made.append(element("h3", title), element("p", value || "–"));
  return made;
}

function plainText(name, value) {
  if (name !== "body") return value;
  const parsed = new DOMParser().parseFromString(value, "text/html").body;
  return [...parsed.children].map((each) => each.textContent).join("\n\n") || parsed.textContent;
}

function element(name, content) {
  const made = document.createElement(name);
  made.textContent = content;
  return made;
}
