// What the reader thinks of one answer: thumbs, a score, what was wrong, a remark, and the answer as it should have
// been. The page sends what has changed; what could not be sent stays here and, over a reload, in the tab's storage.

import { draw } from "./markdown.js";

const KEPT = "kodolly-opinion:";
const LONGEST = { comment: 4000, correction: 100_000 }; // what the gateway takes
const THUMB = "M5 7.2 7.5 2.5c.9 0 1.6.7 1.6 1.6v2.3h3.4c.8 0 1.4.7 1.2 1.5l-.9 4.3c-.1.7-.7 1.1-1.3 1.1H5zM5 7.2H2.6v6.1H5";
const ICONS = {
  up: `<path d="${THUMB}"/>`,
  down: `<path transform="rotate(180 8 8)" d="${THUMB}"/>`,
  correct: '<path d="m3 13 .7-2.8 7.3-7.3 2.1 2.1-7.3 7.3zM9.6 4.3l2.1 2.1"/>',
};

function element(name, className, attributes = {}, ...children) {
  const made = document.createElement(name);
  made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const isOpen = (part) => Boolean(part && !part.hidden);

function button(className, words, pressed) {
  const made = element("button", `kd-opinion-button ${className}`, { type: "button" }, words);
  made.addEventListener("click", pressed);
  return made;
}

// `words` are the server's, in the reader's language; `given` tells the answer's text as the page shows it.
export class Opinion {
  constructor(id, words, given) {
    Object.assign(this, { id, words, given, mark: {}, pending: {}, draft: null, sending: false });
    this.note = element("p", "kd-opinion-note", { role: "status" });
    this.bar = this.makeBar();
    this.below = element("div", "kd-opinion", {}, this.note);
    // Made when they are first needed: most answers of a long conversation need none.
    this.panel = this.corrected = this.editor = null;
    this.restore();
    this.draw();
  }

  // What the server keeps, and what was said since.
  get now() {
    return { ...this.mark, ...this.pending };
  }

  take(mark) {
    this.mark = mark;
    if (mark.sent === false && !this.sending) this.tell(this.words.not_sent, true);
    this.draw();
  }

  // Parts

  makeBar() {
    const { words } = this;
    this.thumbs = ["up", "down"].map((thumb) => {
      const made = button("kd-thumb", "", () => this.push({ thumb: this.now.thumb === thumb ? null : thumb }));
      made.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true">${ICONS[thumb]}</svg>`;
      made.ariaLabel = made.title = words[thumb];
      made.dataset.thumb = thumb;
      return made;
    });
    this.more = button("kd-more", "", () => this.showPanel(!isOpen(this.panel)));
    this.correct = button("kd-correct", "", () => (isOpen(this.editor) ? this.area.focus() : this.edit()));
    this.correct.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true">${ICONS.correct}</svg>`;
    this.correct.append(words.correct);
    return element("span", "kd-opinion-bar", { role: "group", "aria-label": words.group }, ...this.thumbs, this.more, this.correct);
  }

  makePanel() {
    const { words, id } = this;
    const choice = (type, value, label) => {
      const box = element("input", "", { type, value, name: `${type}-${id}` });
      return element("label", "", {}, box, element("span", "", {}, label));
    };
    this.scores = [1, 2, 3, 4, 5].map((score) => choice("radio", score, String(score)));
    this.tags = Object.entries(words.each_tag).map(([tag, label]) => choice("checkbox", tag, label));
    this.clear = button("kd-quiet", words.clear, () => {
      this.push({ score: null });
      this.scores[0].firstChild.focus();
    });
    const scale = element("span", "kd-small", {}, words.scale);
    const score = element("fieldset", "kd-choices", {}, element("legend", "", {}, words.score), ...this.scores, scale, this.clear);
    const tags = element("fieldset", "kd-choices", {}, element("legend", "", {}, words.tags), ...this.tags);
    this.comment = element("input", "", { type: "text", maxlength: LONGEST.comment });
    const remark = element("label", "kd-remark", {}, element("span", "", {}, words.comment), this.comment);
    score.addEventListener("change", ({ target }) => this.push({ score: Number(target.value) }));
    tags.addEventListener("change", () => {
      this.push({ tags: this.tags.map((label) => label.firstChild).filter((box) => box.checked).map((box) => box.value) });
    });
    this.comment.addEventListener("input", () => this.put({ comment: this.comment.value || null }));
    this.comment.addEventListener("change", () => this.push({ comment: this.comment.value || null }));
    this.panel = element("div", "kd-opinion-panel", { id: `opinion-${id}` }, score, tags, remark);
    this.more.setAttribute("aria-controls", this.panel.id);
    this.below.insertBefore(this.panel, this.corrected ?? this.editor);
  }

  makeCorrected() {
    this.correction = element("div", "kd-md prose");
    const remove = button("kd-quiet", this.words.remove, () => {
      this.push({ correction: null });
      this.correct.focus();
    });
    const title = element("div", "kd-who", {}, this.words.corrected);
    const label = { "aria-label": this.words.corrected };
    this.corrected = element("section", "kd-correction", label, title, this.correction, remove);
    this.below.insertBefore(this.corrected, this.editor);
  }

  makeEditor() {
    const { words, id } = this;
    const hint = element("p", "kd-small", { id: `hint-${id}` }, words.hint);
    const attributes = { id: `correction-${id}`, maxlength: LONGEST.correction, "aria-describedby": hint.id };
    this.area = element("textarea", "", attributes);
    this.area.addEventListener("input", () => {
      this.draft = this.area.value;
      this.keep();
    });
    this.area.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.save();
      else if (event.key === "Escape") this.close(); // what was typed is there again when it is opened
      else return;
      event.preventDefault();
    });
    const save = button("kd-primary", words.save, () => this.save());
    const cancel = button("", words.cancel, () => {
      this.draft = null;
      delete this.pending.correction;
      this.keep();
      this.close();
    });
    const row = element("div", "kd-opinion-row", {}, save, cancel);
    const label = element("label", "", { for: this.area.id }, words.corrected);
    this.editor = element("div", "kd-editor", {}, label, this.area, hint, row);
    this.below.append(this.editor);
  }

  // What happens

  showPanel(shown) {
    if (shown && !this.panel) this.makePanel();
    if (this.panel) this.panel.hidden = !shown;
    this.draw();
    if (shown) this.panel.scrollIntoView({ block: "nearest" });
  }

  openEditor(words) {
    if (!this.editor) this.makeEditor();
    this.area.value = words;
    this.editor.hidden = false;
  }

  edit() {
    this.openEditor(this.draft ?? this.now.correction ?? this.given());
    this.showPanel(false);
    this.area.setSelectionRange(0, 0);
    this.area.focus();
    this.editor.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.below.prepend(this.note);
    this.editor.hidden = true;
    this.draw();
    this.correct.focus();
  }

  save() {
    const written = this.area.value.trim();
    if (!written || written === (this.mark.correction ?? this.given()).trim()) return this.tell(this.words.unchanged);
    this.push({ correction: written.toWellFormed?.() ?? written });
  }

  // Say something, to be sent with the next push.
  put(changes) {
    Object.assign(this.pending, changes);
    this.keep();
  }

  async push(changes) {
    this.put(changes);
    this.tell(this.words.saving); // before the panel is scrolled to, which it moves
    if (changes.thumb === "down") this.showPanel(true);
    this.draw();
    if (this.sending) return; // goes out behind what is on its way
    this.sending = true;
    while ((await this.send()) && Object.keys(this.pending).length);
    this.sending = false;
    this.draw();
  }

  // Send what has changed. Returns whether it has arrived.
  async send() {
    const sent = { ...this.pending };
    let reply;
    try {
      const body = JSON.stringify(sent);
      const address = new URL(`../../answers/${this.id}/opinion`, import.meta.url);
      const response = await fetch(address, { method: "POST", headers: { "content-type": "application/json" }, body });
      if (!response.ok) {
        const plain = response.headers.get("content-type")?.startsWith("text/plain");
        this.tell(plain ? await response.text() : this.words.failed, true);
        return false;
      }
      reply = await response.json();
    } catch {
      this.tell(this.words.away, true);
      return false;
    }
    const { mark, note } = reply;
    for (const [name, value] of Object.entries(sent)) if (this.pending[name] === value) delete this.pending[name];
    this.mark = mark;
    if ("correction" in sent && !("correction" in this.pending)) this.settle(sent.correction);
    this.keep();
    this.tell(note, mark.sent === false);
    return true;
  }

  // The server has the correction: nothing of it is only here any more.
  settle(correction) {
    if (this.draft !== null && this.draft.trim() !== (correction ?? "")) return; // typed on
    this.draft = null;
    if (isOpen(this.editor)) this.close();
  }

  tell(words, again = false) {
    if (isOpen(this.editor)) this.editor.append(this.note); // beside the button that was pressed
    else this.below.prepend(this.note);
    this.note.textContent = words;
    this.note.classList.toggle("kd-bad", again);
    if (!again) return;
    this.note.append(" ", button("kd-quiet", this.words.again, () => this.push({})));
    if (this.note.isConnected) this.note.scrollIntoView({ block: "nearest" });
  }

  // The tab's storage; where it is full or forbidden, the page itself still has the words.

  keep() {
    const { draft, pending } = this;
    try {
      if (draft === null && !Object.keys(pending).length) sessionStorage.removeItem(KEPT + this.id);
      else sessionStorage.setItem(KEPT + this.id, JSON.stringify({ draft, pending }));
    } catch {}
  }

  restore() {
    try {
      const { draft, pending } = JSON.parse(sessionStorage.getItem(KEPT + this.id)) ?? {};
      this.draft = draft ?? null;
      this.pending = pending ?? {};
    } catch {}
    if (this.draft !== null) this.openEditor(this.draft);
    if (Object.keys(this.pending).length) this.tell(this.words.not_sent, true);
  }

  draw() {
    const { words, now } = this;
    for (const thumb of this.thumbs) thumb.setAttribute("aria-pressed", String(thumb.dataset.thumb === now.thumb));
    const points = now.score ? words.points.replace("{score}", now.score) : "";
    this.more.textContent = points || words.more;
    this.more.ariaLabel = this.more.title = [words.more, points].filter(Boolean).join(" · ");
    this.more.setAttribute("aria-expanded", String(isOpen(this.panel)));
    this.correct.setAttribute("aria-expanded", String(isOpen(this.editor)));
    if (this.panel) this.drawPanel();
    if (this.mark.correction && !this.corrected) this.makeCorrected();
    if (this.corrected) this.corrected.hidden = !this.mark.correction || isOpen(this.editor);
    if (this.mark.correction) draw(this.correction, this.mark.correction, () => this.redraw());
  }

  drawPanel() {
    const { now } = this;
    for (const { firstChild: box } of this.scores) box.checked = Number(box.value) === now.score;
    for (const { firstChild: box } of this.tags) box.checked = (now.tags ?? []).includes(box.value);
    this.clear.hidden = !now.score;
    if (document.activeElement !== this.comment) this.comment.value = now.comment ?? "";
  }

  redraw() {
    for (const block of this.correction.children) delete block.kdHtml;
    this.draw();
  }
}
