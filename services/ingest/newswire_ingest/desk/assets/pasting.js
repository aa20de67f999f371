// Pasted HTML, before the schema of the editor reads it: lists of Word become lists, wrappers of Google Docs disappear. The schema
// admits nothing else than what it knows, so whatever this misses costs an appearance, never safety.

const BULLETS = /^[\s\u00a0]*(?:[·•◦▪■□‣–—-]|o|§|ü|Ø)[\s\u00a0]*$/u;
const LEVEL = /mso-list:\s*\S+\s+level(\d+)/i;
const UNREAD = /<(style|script)\b[\s\S]*?<\/\1\s*>/gi;
const TAG = /<[a-z][^>]*>/gi;
const STYLE = "data-pasted-style";
const REDIRECT = /^https:\/\/www\.google\.com\/url\?/;

export function cleanPasted(html, view) {
  const page = new DOMParser().parseFromString(html.replace(UNREAD, "").replace(TAG, inert), "text/html");
  for (const each of page.querySelectorAll("style, script, meta, link, title, xml, head > *")) each.remove();
  removeComments(page.body);
  for (const each of page.querySelectorAll("b[id^=docs-internal-guid], strong[id^=docs-internal-guid]")) unwrap(each);
  for (const each of [...page.querySelectorAll("*")]) if (each.localName.includes(":")) officeElement(each);
  wordLists(page);
  for (const image of page.querySelectorAll("img")) if (!/^https?:/i.test(image.getAttribute("src") ?? "")) image.remove();
  for (const link of page.querySelectorAll("a")) cleanLink(link);
  for (const each of page.querySelectorAll("iframe, video, audio, embed, object")) mediaLink(each);
  for (const each of page.querySelectorAll("p")) if (isBlank(each)) each.remove();
  if (page.body.querySelector(":scope > :is(p, h1, h2, h3, ul, ol, table)"))
    for (const each of page.body.querySelectorAll(":scope > br")) each.remove(); // between blocks, as Google Docs writes them
  for (const each of page.querySelectorAll("h1, h5, h6")) rename(each, each.localName === "h1" ? "h2" : "h4");
  for (const each of page.querySelectorAll(`[${STYLE}]`)) emphasise(each);
  if (/^(ul|ol)$/.test(page.body.firstElementChild?.localName) && isBesideText(view)) page.body.prepend(page.createElement("p"));
  return page.body.innerHTML;
}

// The policy of the page admits no style attributes and no handlers, also in a document that is only parsed: they are renamed.
function inert(tag) {
  return tag.replace(/(\s)style(\s*=)/gi, `$1${STYLE}$2`).replace(/\son\w+(\s*=)/gi, " data-handler$1");
}

// Google Docs and others write emphasis as styles of spans.
function emphasise(element) {
  const style = element.getAttribute(STYLE).toLowerCase();
  element.removeAttribute(STYLE);
  if (!["span", "font", "a"].includes(element.localName)) return;
  if (/font-weight:\s*(bold|[6-9]00)/.test(style)) wrapContent(element, "strong");
  if (/font-style:\s*(italic|oblique)/.test(style)) wrapContent(element, "em");
  if (/vertical-align:\s*super/.test(style)) wrapContent(element, "sup");
  if (/vertical-align:\s*sub/.test(style)) wrapContent(element, "sub");
}

function wrapContent(element, name) {
  const made = element.ownerDocument.createElement(name);
  made.append(...element.childNodes);
  element.append(made);
}

function removeComments(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_COMMENT);
  const found = [];
  while (walker.nextNode()) found.push(walker.currentNode);
  for (const each of found) each.remove();
}

// <o:p>, <w:Sdt>, <v:shape> and other elements of Office: those of text are unwrapped.
function officeElement(element) {
  if (element.localName.startsWith("v:") || element.localName === "o:officedocumentsettings") element.remove();
  else unwrap(element);
}

// Word writes list items as paragraphs with a level in their style, and the bullet or number as text that a reader should ignore.
function wordLists(page) {
  let lists = []; // the open lists, outermost first
  let previous = null;
  for (const item of [...page.querySelectorAll("p, h1, h2, h3, h4, h5, h6")]) {
    const level = Number(LEVEL.exec(item.getAttribute(STYLE) ?? "")?.[1] ?? 0);
    if (!level) continue;
    if (previous === null || nextElement(previous) !== item) lists = [];
    const marker = takeMarker(item);
    const kind = BULLETS.test(marker) ? "ul" : "ol";
    lists = lists.slice(0, level);
    if (lists.length === level && lists[level - 1].localName !== kind) lists.pop();
    const start = item;
    while (lists.length < level) {
      const list = page.createElement(kind);
      const parent = lists.at(-1)?.lastElementChild;
      if (parent) parent.append(list);
      else if (lists.length) lists.at(-1).append(list);
      else start.before(list);
      lists.push(list);
    }
    const entry = page.createElement("li");
    entry.append(...item.childNodes);
    item.remove();
    lists.at(-1).append(entry);
    previous = lists[0];
  }
}

function nextElement(element) {
  return element.nextElementSibling;
}

function takeMarker(item) {
  let text = "";
  for (const each of [...item.querySelectorAll(`[${STYLE}]`)]) {
    if (!/mso-list:\s*ignore/i.test(each.getAttribute(STYLE))) continue;
    text = each.textContent;
    each.remove();
    break;
  }
  return text;
}

function cleanLink(link) {
  let address = link.getAttribute("href") ?? "";
  if (REDIRECT.test(address)) address = new URL(address).searchParams.get("q") ?? address;
  if (/^(https?:|mailto:)/i.test(address)) link.setAttribute("href", address);
  else unwrap(link);
}

// Embedded media become links, as they do in imports.
function mediaLink(media) {
  const source = media.getAttribute("src") ?? media.getAttribute("data") ?? media.querySelector("source")?.getAttribute("src") ?? "";
  if (!/^(https?:)?\/\//i.test(source)) return media.remove();
  const link = media.ownerDocument.createElement("a");
  link.setAttribute("href", source.startsWith("//") ? `https:${source}` : source);
  link.textContent = media.getAttribute("title") || link.getAttribute("href");
  media.replaceWith(link);
}

// Whether the cursor is in a paragraph with text: the editor would append the first item of a list to that, instead of the list after it.
function isBesideText(view) {
  const { $from } = view.state.selection;
  const isInList = Array.from({ length: $from.depth }, (_, depth) => $from.node(depth).type.name).includes("listItem");
  return !isInList && $from.parent.content.size > 0;
}

function isBlank(paragraph) {
  return !paragraph.textContent.replaceAll("\u00a0", "").trim() && !paragraph.querySelector("img, br");
}

function rename(element, name) {
  const made = element.ownerDocument.createElement(name);
  made.append(...element.childNodes);
  element.replaceWith(made);
}

function unwrap(element) {
  element.replaceWith(...element.childNodes);
}
