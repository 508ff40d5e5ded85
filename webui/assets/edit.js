// A question that is asked otherwise: its words in an editor below it. What the reader sends goes to the page's
// hidden button, which has the server branch a new conversation off.

const PENCIL = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="m3 13 .7-2.8 7.3-7.3 2.1 2.1-7.3 7.3zM9.6 4.3l2.1 2.1"/></svg>';

function button(className, words, pressed) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = `kd-opinion-button ${className}`;
  made.append(words);
  made.addEventListener("click", pressed);
  return made;
}

// `words` are the server's, in the reader's language; `given` tells the question.
export class QuestionEdit {
  constructor(id, words, given) {
    Object.assign(this, { id, words, given });
    this.open = button("kd-edit", "", () => this.show());
    this.open.innerHTML = PENCIL;
    this.open.ariaLabel = this.open.title = words.question;
    this.editor = null;
  }

  show() {
    if (!this.editor) this.make();
    this.area.value = this.given();
    this.editor.hidden = false;
    this.open.hidden = true;
    this.area.focus();
    this.editor.scrollIntoView({ block: "nearest" });
  }

  make() {
    const { words } = this;
    this.editor = document.createElement("div");
    this.editor.className = "kd-editor";
    this.area = document.createElement("textarea");
    this.area.ariaLabel = words.question;
    this.area.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.send();
      else if (event.key === "Escape") this.close();
      else return;
      event.preventDefault();
    });
    const hint = document.createElement("p");
    hint.className = "kd-small";
    hint.textContent = words.hint;
    const row = document.createElement("div");
    row.className = "kd-opinion-row";
    row.append(button("kd-primary", words.send, () => this.send()), button("", words.cancel, () => this.close()));
    this.editor.append(this.area, hint, row);
    this.open.after(this.editor);
  }

  send() {
    window.kodolly.edited = { answer: this.id, question: this.area.value };
    this.close();
    document.getElementById(this.words.press)?.click();
  }

  close() {
    this.editor.hidden = true;
    this.open.hidden = false;
    this.open.focus();
  }
}
