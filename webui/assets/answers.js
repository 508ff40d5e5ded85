// <kd-transcript>: one pane's conversation. The page says which answers stand in it; this fetches them, asks
// on while one grows, and draws it once a frame.
//
// No connection is held for longer than half a second: a browser gives a host six, to all tabs together.

import { fileAddress, shownFile } from "./attach.js";
import { QuestionEdit } from "./edit.js";
import { copyButton, draw } from "./markdown.js";
import { Opinion } from "./opinion.js";

const FEED = new URL("../../answers", import.meta.url); // beside the folder of the scripts
const MOST = 50; // answers in one request
const KEPT = 500; // answers in memory
const UNSEEN_MS = 1000; // between two requests of a page that nobody sees
const known = new Map();
const transcripts = new Set();
const places = new Map(); // pane -> how far it was scrolled: the element may be made anew

const korean = () => document.documentElement.lang.startsWith("ko");

function element(name, className, attributes = {}) {
  const made = document.createElement(name);
  made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function attachedFile(file) {
  if (file.kind !== "image") return shownFile(file);
  const link = element("a", "", { href: fileAddress(file.id), target: "_blank", rel: "noopener" });
  link.append(shownFile(file));
  return link;
}

class Answer {
  constructor(id) {
    this.id = id;
    this.forget();
    this.node = element("article", "kd-turn");
    this.asked = element("div", "kd-user", { "data-testid": "user" });
    this.context = element("details", "kd-context");
    this.about = element("div", "kd-thoughts");
    this.attached = element("div", "kd-attached");
    const title = element("summary", "");
    title.textContent = korean() ? "문맥" : "Context";
    this.context.append(title, this.about);
    this.who = element("div", "kd-who");
    this.thinking = element("details", "kd-reasoning");
    this.summary = element("summary", "");
    this.thoughts = element("div", "kd-thoughts");
    this.thinking.append(this.summary, this.thoughts);
    this.body = element("div", "kd-md prose", { "data-testid": "bot" });
    this.bot = element("div", "kd-bot");
    this.bot.append(this.who);
    this.node.append(this.asked);
    this.copy = copyButton(() => this.text);
    this.question = this.given = this.model = "";
    this.mark = null; // what its reader thinks of it, as the server keeps it
    this.opinion = null; // where the page asks for one
    this.below = { line: "", card: "" }; // as of the text that is drawn: neither tells an end that is not there yet
  }

  // The page has it judged, in these words.
  judge(words) {
    if (this.opinion) return;
    this.opinion = new Opinion(this.id, words, () => this.shown()[0].trim());
    if (this.mark) this.opinion.take(this.mark);
    if (this.ended) drawSoon(this);
  }

  // The page lets its question be asked otherwise, in these words.
  askOtherwise(words) {
    this.edit ??= new QuestionEdit(this.id, words, () => this.question);
  }

  // Whatever was fetched is fetched again.
  forget() {
    this.at = null;
    this.text = this.reasoning = this.line = this.card = this.note = "";
    this.state = "unknown";
  }

  get ended() {
    return !["unknown", "running"].includes(this.state);
  }

  get query() {
    return `a=${encodeURIComponent(this.at ? `${this.id}~${this.at.join("~")}` : this.id)}`;
  }

  take(reply) {
    if (this.hidden && reply.hidden === false && reply.question === undefined) {
      this.forget(); // its model may be named now
      return;
    }
    if (reply.from[0] === 0 && reply.from[1] === 0) this.text = this.reasoning = "";
    else if (String(reply.from) !== String(this.at)) return; // asked for before all of it was fetched anew
    this.text += reply.text;
    this.reasoning += reply.reasoning;
    this.at = reply.to;
    for (const name of ["state", "hidden", "line", "card", "note", "thought"]) this[name] = reply[name];
    if (reply.question !== undefined) {
      for (const name of ["question", "model", "mark"]) this[name] = reply[name];
      this.given = reply.context;
      this.files = reply.files;
      if (this.mark) this.opinion?.take(this.mark);
    }
    drawSoon(this);
  }

  draw() {
    const transcript = this.node.closest("kd-transcript");
    const follows = transcript?.follows();
    this.drawParts();
    if (follows) transcript.box.scrollTop = transcript.box.scrollHeight;
    transcript?.drawBelow();
  }

  drawParts() {
    const [text, thoughts] = this.shown();
    if (this.asked.textContent !== this.question) this.asked.textContent = this.question;
    if (this.given && !this.context.isConnected) {
      this.about.textContent = this.given;
      this.asked.after(this.context);
    }
    if (this.files?.length && !this.attached.isConnected) {
      this.attached.replaceChildren(...this.files.map(attachedFile));
      this.asked.after(this.attached);
    }
    if (this.edit && this.ended && !this.edit.open.isConnected) {
      (this.given ? this.context : this.files?.length ? this.attached : this.asked).after(this.edit.open);
    }
    this.who.textContent = this.model;
    if (thoughts) {
      if (!this.thinking.isConnected) this.bot.append(this.thinking);
      this.summary.textContent = this.thought;
      this.thoughts.textContent = thoughts;
    }
    if (text.trim() || this.note) {
      if (!this.body.isConnected) this.bot.append(this.body);
      draw(this.body, text.trim() ? text : `*${this.note}*`, () => this.redraw());
    }
    if (this.ended && this.text.trim() && !this.copy.isConnected) this.bot.append(this.copy);
    if (this.opinion && this.state === "done" && this.text.trim() && !this.opinion.bar.isConnected) {
      this.bot.append(this.opinion.bar, this.opinion.below);
    }
    if (this.bot.children.length > 1 && !this.bot.isConnected) this.node.append(this.bot);
    this.below = { line: this.line, card: this.card };
  }

  // A worker without a reasoning parser gives what its model thinks within the answer: between <think> and </think>,
  // or before a line </think> where the chat template has opened it. It is folded; copies are as it was written.
  shown() {
    if (this.reasoning) return [this.text, this.reasoning.trim()];
    if (!this.ended && "<think>".startsWith(this.text.trim())) return ["", ""];
    const found =
      /^\s*<think>([^]*?)(?:<\/think>|$)/.exec(this.text) ?? /^((?:(?!<think>)[^])*?)\n<\/think>[ \t]*\n/.exec(this.text);
    return found ? [this.text.slice(found[0].length), found[1].trim()] : [this.text, ""];
  }

  redraw() {
    for (const block of this.body.children) delete block.kdHtml;
    drawSoon(this);
  }
}

// All drawing of the page goes through here: what is due is drawn in one frame, as far as FRAME_MS allow. Then the
// page stays free for input, twice as long as the drawing took: a huge answer is drawn less often, and Stop works.
// A page that nobody sees draws nothing.
const FRAME_MS = 8;
const FREE = 2;
const due = new Set();
let planned = false;
let freeUntil = 0;

function drawSoon(answer) {
  due.add(answer);
  plan();
}

function plan() {
  if (planned || document.hidden || !due.size) return;
  planned = true;
  const wait = freeUntil - performance.now();
  if (wait > 0) setTimeout(() => requestAnimationFrame(drawDue), wait);
  else requestAnimationFrame(drawDue);
}

function drawDue() {
  planned = false;
  if (document.hidden) return;
  const began = performance.now();
  for (const answer of due) {
    due.delete(answer);
    answer.draw();
    if (performance.now() - began > FRAME_MS) break;
  }
  freeUntil = performance.now() + FREE * (performance.now() - began);
  plan();
}

document.addEventListener("visibilitychange", () => {
  plan();
  if (!document.hidden) wake();
});

class Transcript extends HTMLElement {
  static observedAttributes = ["answers", "names", "running", "label"];

  connectedCallback() {
    transcripts.add(this);
    this.lookAt();
  }

  disconnectedCallback() {
    transcripts.delete(this);
  }

  // Gradio changes one attribute after the other, and then takes away every child that its value does not name.
  attributeChangedCallback() {
    if (this.changed || !this.isConnected) return;
    this.changed = true;
    queueMicrotask(() => {
      this.changed = false;
      if (this.isConnected) this.lookAt();
    });
  }

  // So what is drawn stays, with what is selected in it.
  removeChild(child) {
    return child;
  }

  get pane() {
    return this.getAttribute("pane");
  }

  get ids() {
    return (this.getAttribute("answers") ?? "").split(" ").filter(Boolean);
  }

  make() {
    const { pane } = this;
    this.box = element("div", "kd-log", { id: `${pane}-chat`, role: "log", tabindex: "0" });
    this.line = element("div", "kd-metrics", { id: `${pane}-metrics` });
    this.card = element("div", "kd-notice", { id: `${pane}-notice` });
    this.empty = element("p", "kd-empty");
    this.empty.textContent = korean() ? "답변이 여기에 나타납니다" : "The answer appears here";
    this.box.addEventListener("scroll", () => {
      places.set(pane, { top: this.box.scrollTop, follows: this.follows(), last: this.ids.at(-1) });
    });
  }

  follows() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 48;
  }

  lookAt() {
    if (!this.box) this.make();
    this.box.ariaLabel = this.getAttribute("label");
    if (this.box.parentNode !== this) this.replaceChildren(this.box, this.line, this.card);
    const words = JSON.parse(this.getAttribute("opinion") ?? "null");
    const edit = JSON.parse(this.getAttribute("edit") ?? "null");
    this.answers = this.ids.map((id) => {
      if (!known.has(id)) known.set(id, new Answer(id));
      const answer = known.get(id);
      if (answer.hidden && this.hasAttribute("names")) answer.forget();
      if (words) answer.judge(words);
      if (edit) answer.askOtherwise(edit);
      return answer;
    });
    const nodes = this.answers.length ? this.answers.map((answer) => answer.node) : [this.empty];
    if (nodes.length !== this.box.children.length || nodes.some((node, at) => node !== this.box.children[at])) {
      const place = places.get(this.pane) ?? {};
      this.box.replaceChildren(...nodes);
      const stays = place.last === this.ids.at(-1) && !place.follows;
      this.box.scrollTop = stays ? place.top : this.box.scrollHeight;
    }
    this.drawBelow();
    this.expected = this.getAttribute("running") ?? "";
    ask();
  }

  drawBelow() {
    const last = this.answers?.at(-1);
    for (const name of ["line", "card"]) {
      const html = (name === "line" && away && last && !last.ended ? awayLine() : last?.below[name]) ?? "";
      if (this[name].kdHtml === html) continue;
      this[name].kdHtml = html;
      this[name].innerHTML = html; // made by the server, which escapes what is foreign
    }
  }

  // Tell the page once that the answer it shows as coming has ended.
  settle() {
    const last = this.answers?.at(-1);
    if (!last?.ended || this.expected !== last.id) return;
    this.expected = "";
    document.getElementById(this.getAttribute("settled"))?.click();
  }
}

let asking = false;
let away = false; // two requests in a row failed
let wake = () => {};
let aborter = null;

function awayLine() {
  const words = korean() ? "웹 UI가 응답하지 않습니다. 다시 연결하는 중…" : "The web UI does not respond. Connecting again…";
  return `<span class="kd-warn">${words}</span>`;
}

const rest = (ms) => new Promise((done) => { wake = done; setTimeout(done, ms); });

function open() {
  const shown = [...transcripts].flatMap((transcript) => transcript.answers ?? []);
  return [...new Set(shown)].filter((answer) => !answer.ended).slice(0, MOST);
}

async function ask() {
  wake();
  aborter?.abort();
  if (asking) return;
  asking = true;
  let failures = 0;
  try {
    for (let answers = open(); answers.length; answers = open()) {
      const wait = await fetchOnce(answers);
      failures = wait === null ? failures + 1 : 0;
      if (away !== failures > 1) {
        away = !away;
        for (const transcript of transcripts) transcript.drawBelow();
      }
      for (const transcript of transcripts) transcript.settle();
      const unseen = document.hidden ? UNSEEN_MS : 0;
      if (open().length) await rest(Math.max(unseen, wait ?? Math.min(5000, 200 * 2 ** failures)));
    }
  } finally {
    asking = false;
    tidy();
  }
  for (const transcript of transcripts) transcript.settle();
}

// Take what is new of `answers`, as it comes. Returns how many milliseconds to rest; null when nothing could be
// fetched.
async function fetchOnce(answers) {
  aborter = new AbortController();
  const query = answers.map((answer) => answer.query).join("&");
  let wait = null;
  try {
    const response = await fetch(`${FEED}?${query}`, { cache: "no-store", signal: aborter.signal });
    if (!response.ok) return null;
    for await (const told of lines(response.body)) {
      for (const reply of told.answers) known.get(reply.id)?.take(reply);
      for (const transcript of transcripts) transcript.settle();
      wait = told.wait_ms;
    }
    return wait;
  } catch (error) {
    return error.name === "AbortError" ? 0 : wait;
  } finally {
    aborter = null;
  }
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const whole = (rest + piece.value).split("\n");
    rest = whole.pop();
    for (const line of whole) yield JSON.parse(line);
  }
}

function tidy() {
  for (const [id, answer] of known) {
    if (known.size <= KEPT) return;
    if (!answer.node.isConnected) known.delete(id);
  }
}

customElements.define("kd-transcript", Transcript);
