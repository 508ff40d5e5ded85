// A model's Markdown as HTML, block by block. What the model wrote is only ever text: tags are shown, images
// are links, formulas are drawn without commands that could reach out of them.

import "./vendor/markdown-it.umd.min.js";
import "./vendor/purify.min.js";

const LONGEST = 200_000; // characters; a longer answer is shown as it is
const LONGEST_FORMULA = 5_000;
const MOST_FORMULAS = 300; // in one answer; the others are shown as they are written
const CLEAN = {
  USE_PROFILES: { html: true, mathMl: true, svg: true },
  FORBID_TAGS: ["style", "form", "input", "button", "textarea", "select", "img", "image", "picture", "video", "audio"],
  ADD_ATTR: ["target"],
};

const md = globalThis.markdownit({ html: false, linkify: true, breaks: true }).disable("image");
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
md.validateLink = (url) => /^(https?:|mailto:)/i.test(url.trim());
md.renderer.rules.link_open = (tokens, at, options, _env, self) => {
  tokens[at].attrSet("target", "_blank");
  tokens[at].attrSet("rel", "noopener noreferrer nofollow");
  return self.renderToken(tokens, at, options);
};

const CODE = "`";
const OPENINGS = [["$$", "$$", true], ["\\[", "\\]", true], ["\\(", "\\)", false], ["$", "$", false]];

// Where `close` comes next, else Infinity. The last answer is kept: many openings before one end, or without any,
// would take a time that grows with their square.
const seen = { text: "", ends: new Map() };
function nextClose(text, close, from) {
  if (seen.text !== text) Object.assign(seen, { text, ends: new Map() });
  const last = seen.ends.get(close);
  if (last && from >= last.from && from <= last.end) return last.end;
  const at = text.indexOf(close, from), end = at < 0 ? Infinity : at;
  seen.ends.set(close, { from, end });
  return end;
}

// The end of a formula that begins at `start` of `text`, or -1: `$5 and $6` is none, as in Pandoc.
function formulaEnd(text, start, open, close) {
  const from = start + open.length, end = nextClose(text, close, from);
  const inner = end - from > LONGEST_FORMULA ? "" : text.slice(from, end);
  if (!inner.trim() || inner.includes("\n\n")) return -1;
  const dollar = open === "$";
  if (dollar && (/^\s|\s$|\n/.test(inner) || /[0-9]/.test(text[end + 1] ?? "") || inner.includes(CODE))) return -1;
  return end;
}

function inlineFormula(state, silent) {
  const found = OPENINGS.find(([open]) => state.src.startsWith(open, state.pos));
  if (!found) return false;
  const [open, close, display] = found;
  const end = formulaEnd(state.src, state.pos, open, close);
  if (end < 0 || end + close.length > state.posMax) return false;
  if (!silent) {
    const token = state.push("formula", "", 0);
    token.content = state.src.slice(state.pos + open.length, end);
    token.markup = state.src.slice(state.pos, end + close.length);
    token.meta = display;
  }
  state.pos = end + close.length;
  return true;
}

// A formula on lines of its own: a minus or equals sign at the start of a line is no list and no heading in it.
function blockFormula(state, line, endLine, silent) {
  const start = state.bMarks[line] + state.tShift[line];
  const found = OPENINGS.find(([open, , display]) => display && state.src.startsWith(open, start));
  if (!found || state.sCount[line] - state.blkIndent >= 4) return false;
  const [open, close] = found;
  const end = formulaEnd(state.src, start, open, close);
  if (end < 0) return false;
  let last = line;
  while (last < endLine && state.eMarks[last] < end + close.length) last += 1;
  if (last >= endLine || state.src.slice(end + close.length, state.eMarks[last]).trim()) return false;
  if (silent) return true;
  const token = state.push("formula", "", 0);
  token.content = state.src.slice(start + open.length, end);
  token.markup = state.src.slice(start, end + close.length);
  token.meta = true;
  token.map = [line, last + 1];
  state.line = last + 1;
  return true;
}

md.inline.ruler.before("escape", "formula", inlineFormula);
md.block.ruler.before("fence", "formula", blockFormula, { alt: ["paragraph", "blockquote", "list"] });

let left = MOST_FORMULAS;
let wanted = false; // a formula was met before KaTeX is there
let loading = null;

md.renderer.rules.formula = (tokens, at) => {
  const { content, markup, meta } = tokens[at];
  left -= 1;
  if (globalThis.katex && left >= 0) {
    try {
      return globalThis.katex.renderToString(content, {
        displayMode: meta, throwOnError: true, trust: false, strict: "ignore", maxSize: 20, maxExpand: 300,
      });
    } catch {
      return `<code>${md.utils.escapeHtml(markup)}</code>`; // not a formula after all, or one that is not finished
    }
  }
  wanted ||= !globalThis.katex;
  return `<code>${md.utils.escapeHtml(markup)}</code>`;
};

// Settles when formulas can be drawn.
export function formulasReady() {
  return (loading ??= loadKatex());
}

function loadKatex() {
  const style = document.createElement("link");
  style.rel = "stylesheet";
  style.href = new URL("./vendor/katex.min.css", import.meta.url).href;
  document.head.append(style);
  return import("./vendor/katex.min.js");
}

// Each top-level block of `text` as harmless HTML. `redraw` is called when formulas can be drawn.
function blocks(text, redraw) {
  const env = {}, made = [];
  let open = [], depth = 0;
  left = MOST_FORMULAS;
  for (const token of md.parse(text, env)) {
    open.push(token);
    depth += token.nesting;
    if (depth) continue;
    made.push(md.renderer.render(open, md.options, env));
    open = [];
  }
  if (wanted) {
    wanted = false;
    formulasReady().then(redraw, () => {});
  }
  return made;
}

function finish(block) {
  for (const pre of block.querySelectorAll("pre")) {
    pre.tabIndex = 0;
    const box = document.createElement("div");
    box.className = "kd-code";
    pre.replaceWith(box);
    box.append(pre, copyButton(() => pre.textContent));
  }
}

export function copyButton(words) {
  const button = document.createElement("button");
  const korean = document.documentElement.lang.startsWith("ko");
  button.type = "button";
  button.className = "kd-copy";
  button.innerHTML = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M5.5 5.5h8v8h-8z M3 10.5h-.5v-8h8V3"/></svg>';
  button.ariaLabel = button.title = korean ? "복사" : "Copy";
  button.addEventListener("click", async () => {
    await copy(words());
    button.classList.add("kd-copied");
    setTimeout(() => button.classList.remove("kd-copied"), 1500);
  });
  return button;
}

async function copy(words) {
  // Browsers offer the clipboard to secure pages alone; a page at http://192.168.0.5 has the old way.
  if (navigator.clipboard) return navigator.clipboard.writeText(words);
  const box = document.createElement("textarea");
  box.value = words;
  document.body.append(box);
  box.select();
  document.execCommand("copy");
  box.remove();
}

// Draw `text` in `box`; blocks that are as they were stay, with what is selected in them.
export function draw(box, text, redraw) {
  if (text.length > LONGEST) {
    box.classList.add("kd-raw");
    box.textContent = text;
    return;
  }
  const made = blocks(text, redraw);
  while (box.children.length > made.length) box.lastElementChild.remove();
  made.forEach((html, at) => {
    let block = box.children[at];
    if (block?.kdHtml === html) return;
    if (!block) box.append((block = document.createElement("div")));
    block.kdHtml = html;
    block.innerHTML = globalThis.DOMPurify.sanitize(html, CLEAN);
    finish(block);
  });
}
