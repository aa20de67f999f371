// The rich text of a draft. Its schema admits what the pages of readers show, and nothing else.

import * as prose from "./prose_editor/editor.js";
import { cleanPasted } from "./pasting.js";

const SAFE = /^(https?:\/\/|mailto:)/i;

const Link = prose.Mark.create({
  name: "link",
  inclusive: false,
  addAttributes: () => ({ href: { default: "" } }),
  parseHTML: () => [{ tag: "a[href]", getAttrs: (link) => SAFE.test(link.getAttribute("href")) && null }],
  renderHTML: ({ HTMLAttributes }) => ["a", { href: HTMLAttributes.href }, 0],
  addKeyboardShortcuts() {
    return { "Mod-k": () => this.editor.emit("ask-link") || true };
  },
});

const Image = prose.Node.create({
  name: "image",
  inline: false,
  atom: true,
  addAttributes: () => ({ src: { default: "" }, alt: { default: "" }, width: { default: null }, height: { default: null } }),
  parseHTML: () => [{ tag: "img[src]", getAttrs: (image) => /^https?:\/\//i.test(image.getAttribute("src")) && null }],
  renderHTML: ({ HTMLAttributes }) => ["img", HTMLAttributes],
});

const Caption = prose.Node.create({
  name: "caption",
  content: "inline*",
  parseHTML: () => [{ tag: "figcaption" }],
  renderHTML: () => ["figcaption", 0],
});

const Figure = prose.Node.create({
  name: "figure",
  group: "block",
  content: "image caption",
  isolating: true,
  parseHTML: () => [{ tag: "figure" }],
  renderHTML: () => ["figure", 0],
});

const Cleaning = prose.Extension.create({
  name: "cleaning",
  transformPastedHTML(html) {
    return cleanPasted(html, this.editor.view);
  },
});

const plain = (extension) => extension.extend({ addAttributes: () => ({}) });

const notStored = { default: null, rendered: false, parseHTML: () => null };
const cell = (extension) =>
  extension.extend({ addAttributes: () => ({ colspan: { default: 1 }, rowspan: { default: 1 }, colwidth: notStored }) });

const EXTENSIONS = [
  prose.Document,
  prose.Paragraph,
  prose.Text,
  prose.HardBreak,
  prose.Heading.configure({ levels: [2, 3, 4] }),
  prose.Blockquote,
  prose.BulletList,
  plain(prose.OrderedList).extend({ addNodeView: () => null }),
  prose.ListItem,
  prose.HorizontalRule,
  plain(prose.CodeBlock),
  prose.Bold,
  prose.Italic,
  prose.Code,
  prose.Subscript,
  prose.Superscript,
  prose.Table.extend({ addNodeView: () => null }),
  prose.TableRow,
  cell(prose.TableCell),
  cell(prose.TableHeader),
  prose.History,
  prose.Dropcursor,
  prose.Gapcursor,
  Link,
  Image,
  Caption,
  Figure,
  Cleaning,
];

// Puts an editor in the place of a text area, which keeps the HTML for the form. A body that nobody edits stays as it was.
export function richText(area, toolbar, dialogs) {
  const place = document.createElement("div");
  place.className = "rich";
  area.before(place);
  const editor = new prose.Editor({
    element: place,
    extensions: EXTENSIONS,
    content: area.value,
    injectCSS: false,
    editorProps: {
      attributes: { role: "textbox", "aria-multiline": "true", "aria-labelledby": "body-label", class: "prose", dir: "auto", spellcheck: "true" },
    },
    onUpdate: () => {
      area.value = editor.isEmpty ? "" : editor.getHTML();
      area.dispatchEvent(new Event("input", { bubbles: true }));
    },
  });
  area.hidden = true;
  area.form.querySelector("label[for=body]").addEventListener("click", () => editor.commands.focus());
  connectToolbar(editor, toolbar, dialogs);
  toolbar.hidden = false;
  return {
    set(html) {
      area.value = html;
      editor.commands.setContent(html, { emitUpdate: false });
    },
    focus: () => editor.commands.focus(),
  };
}

const COMMANDS = {
  bold: (chain) => chain.toggleBold(),
  italic: (chain) => chain.toggleItalic(),
  bulletList: (chain) => chain.toggleBulletList(),
  orderedList: (chain) => chain.toggleOrderedList(),
  blockquote: (chain) => chain.toggleBlockquote(),
  undo: (chain) => chain.undo(),
  redo: (chain) => chain.redo(),
  table: (chain) => chain.insertTable({ rows: 3, cols: 3, withHeaderRow: true }),
  addRow: (chain) => chain.addRowAfter(),
  addColumn: (chain) => chain.addColumnAfter(),
  deleteRow: (chain) => chain.deleteRow(),
  deleteColumn: (chain) => chain.deleteColumn(),
  plain: (chain) => chain.unsetAllMarks().clearNodes(),
};

// A toolbar is one stop of the Tab key; arrows move inside it (WAI-ARIA practices).
function connectToolbar(editor, toolbar, dialogs) {
  const style = toolbar.querySelector("select");
  const buttons = [...toolbar.querySelectorAll("button")];
  const stops = [style, ...buttons];
  const enter = (stop) => stops.forEach((each) => (each.tabIndex = each === stop ? 0 : -1));
  enter(style);
  toolbar.addEventListener("focusin", (event) => stops.includes(event.target) && enter(event.target));
  toolbar.addEventListener("keydown", (event) => {
    const shown = stops.filter((each) => !each.hidden);
    const at = shown.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    event.preventDefault();
    shown[(to + shown.length) % shown.length].focus();
  });
  style.addEventListener("change", () => {
    const chain = editor.chain().focus();
    const level = Number(style.value);
    (style.value === "code" ? chain.setCodeBlock() : level ? chain.setHeading({ level }) : chain.setParagraph()).run();
  });
  for (const button of buttons) {
    const name = button.dataset.command;
    button.addEventListener("mousedown", (event) => event.preventDefault()); // the selection stays
    button.addEventListener("click", () => {
      if (name === "link") dialogs.link(linkOf(editor), (href) => setLink(editor, href));
      else if (name === "image") dialogs.image((image) => insertFigure(editor, image));
      else COMMANDS[name](editor.chain().focus()).run();
    });
  }
  editor.on("ask-link", () => dialogs.link(linkOf(editor), (href) => setLink(editor, href)));
  const update = () => {
    const level = [2, 3, 4].find((each) => editor.isActive("heading", { level: each }));
    style.value = editor.isActive("codeBlock") ? "code" : String(level ?? 0);
    for (const button of buttons) {
      if (button.hasAttribute("aria-pressed")) button.setAttribute("aria-pressed", String(editor.isActive(button.dataset.command)));
      if (button.hasAttribute("data-in-table")) button.hidden = !editor.isActive("table");
    }
  };
  editor.on("transaction", update);
  update();
}

const linkOf = (editor) => editor.getAttributes("link").href ?? "";

function setLink(editor, href) {
  const chain = editor.chain().focus().extendMarkRange("link");
  if (!href) chain.unsetMark("link").run();
  else if (editor.state.selection.empty && !editor.isActive("link"))
    chain.insertContent({ type: "text", text: href, marks: [{ type: "link", attrs: { href } }] }).run();
  else chain.setMark("link", { href }).run();
}

function insertFigure(editor, { url, alt, caption, width, height }) {
  const text = caption ? [{ type: "text", text: caption }] : [];
  const image = { type: "image", attrs: { src: url, alt, width: width ?? null, height: height ?? null } };
  editor.chain().focus().insertContent({ type: "figure", content: [image, { type: "caption", content: text }] }).run();
}
