// Images and texts that go along with the next question of a chat: chosen, pasted or dropped. Each is kept by the
// server at once and shown above the question box; the question then names them by id.

const FILES = new URL("../../files", import.meta.url); // beside the folder of the scripts
const KEPT = `kodolly-files:${location.pathname}`;
const MOST = 4;
const PAGE = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M4 1.5h5l3.5 3.5v9.5H4zM9 1.5V5h3.5M6.3 8h4M6.3 11h4"/></svg>';
const korean = () => document.documentElement.lang.startsWith("ko");
const say = (ko, en) => (korean() ? ko : en);
let held = []; // {id, kind, name}, or without an id while it goes up

export const fileAddress = (id) => `${FILES}/${encodeURIComponent(id)}`;

function keep() {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(held.filter((file) => file.id)));
  } catch {} // full or forbidden: the page itself still has them
}

// What stands for a file: a picture of an image, the name of a text.
export function shownFile({ id, kind, name }) {
  if (kind !== "image" || !id) {
    const named = Object.assign(document.createElement("span"), { className: "kd-attached-name", innerHTML: PAGE });
    named.append(name);
    return named;
  }
  const image = document.createElement("img");
  Object.assign(image, { src: fileAddress(id), alt: name, loading: "lazy" });
  return image;
}

function draw() {
  const list = document.getElementById("chat-files");
  if (!list) return;
  list.replaceChildren(
    ...held.map((file) => {
      const item = document.createElement("li"), away = document.createElement("button");
      if (!file.id) item.setAttribute("aria-busy", "true");
      Object.assign(away, { type: "button", textContent: "×", ariaLabel: `${say("빼기", "Remove")}: ${file.name}` });
      away.addEventListener("click", () => {
        held = held.filter((other) => other !== file);
        changed();
        document.querySelector("#chat-question textarea")?.focus();
      });
      item.append(shownFile(file), away);
      return item;
    }),
  );
  list.hidden = !held.length;
}

function changed() {
  keep();
  draw();
}

async function add(files) {
  for (const file of files) {
    if (held.length >= MOST) {
      window.kodolly.tell(say(`한 질문에 파일을 ${MOST}개까지 붙일 수 있습니다.`, `A question takes ${MOST} files.`));
      return;
    }
    const one = { id: "", kind: "", name: file.name || say("붙여 넣은 그림.png", "pasted.png") };
    held.push(one);
    draw();
    await send(one, file);
    changed();
  }
}

async function send(one, file) {
  const form = new FormData();
  form.append("file", file, one.name);
  let words = say("파일을 올리지 못했습니다. 다시 해 보세요.", "The file could not be sent. Try again.");
  try {
    const response = await fetch(FILES, { method: "POST", body: form });
    if (response.ok) return void Object.assign(one, await response.json());
    if (response.status === 422 || response.status === 503 || response.status === 401) words = await response.text();
    if (response.status === 413) words = say("5 MB보다 큰 파일은 붙일 수 없습니다.", "A file may have 5 MB at most.");
  } catch {}
  held = held.filter((other) => other !== one);
  window.kodolly.tell(`${one.name}: ${words}`);
}

function build() {
  const row = document.getElementById("chat-composer");
  if (!row || document.getElementById("chat-files")) return;
  const list = Object.assign(document.createElement("ul"), { id: "chat-files", className: "kd-attachments", hidden: true });
  list.ariaLabel = say("붙인 파일", "Attached files");
  row.before(list);
  draw();
}

Object.assign((window.kodolly ??= {}), {
  // The ids that go along with the question; no list while one still goes up.
  attached: () => (held.every((file) => file.id) ? held.map((file) => file.id) : { coming: true }),
  // A question went out with these.
  attachedSent(ids) {
    held = held.filter((file) => !(ids ?? []).includes(file.id));
    changed();
  },
  // A question came back into the box with these.
  attachedAgain(files) {
    const known = new Set(held.map((file) => file.id));
    held = [...(files ?? []).filter((file) => !known.has(file.id)), ...held];
    changed();
  },
});

try {
  held = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
} catch {}

// Gradio draws the page some time after this script has run, and may draw it anew.
new MutationObserver(build).observe(document.documentElement, { childList: true, subtree: true });

document.addEventListener("click", ({ target }) => {
  if (!target.closest?.("#chat-attach")) return;
  const chooser = Object.assign(document.createElement("input"), { type: "file", multiple: true });
  chooser.addEventListener("change", () => add(chooser.files));
  chooser.click();
});

document.addEventListener("paste", (event) => {
  const files = event.clipboardData?.files ?? [];
  if (!files.length || !event.target.closest?.("#chat-composer")) return;
  event.preventDefault();
  add(files);
});

const onChat = () => document.getElementById("chat-composer");
const carries = (event) => onChat() && [...(event.dataTransfer?.types ?? [])].includes("Files");
document.addEventListener("dragover", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  onChat().classList.add("kd-drop");
});
for (const end of ["dragleave", "drop"]) {
  document.addEventListener(end, (event) => {
    if (end === "drop" || !event.relatedTarget) onChat()?.classList.remove("kd-drop");
  });
}
document.addEventListener("drop", (event) => {
  if (!carries(event)) return;
  event.preventDefault();
  add(event.dataTransfer.files);
});
