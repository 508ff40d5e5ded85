// Studies: the list of them, a rater's queue that needs keys alone, and what administrators do.
//
// A judgement is kept in the tab until the web UI has it: a reload, a server that restarts or a train without a
// network costs nobody a judgement, and the same one twice is one.

import { draw } from "./markdown.js";
import { administration, newStudy } from "./study_admin.js";
import { ask, make, t, tell, wait } from "./study_page.js";

const given = JSON.parse(document.getElementById("given").textContent);
const IDLE_MS = given.idle_s * 1000;
const HOLD_MS = 60_000; // how often the server is told that a rater is still at a task
const AGAIN_MS = { preparing: 2000, taken: 10_000 };
const LONGEST_RETRY_MS = 5000;
const UNSAVED = "kodolly-study-unsaved";
const CHOICES = { ArrowLeft: "left", ArrowDown: "tie", ArrowUp: "both_bad", ArrowRight: "right" };
const NAMES = ["A", "B", "C", "D", "E", "F"];

const main = document.getElementById("study");
let queue = null; // what the rater sees: {study, progress, task, choice, scores, at, corrects}
let turn = 0; // of what is drawn: an answer to an older question draws nothing

const storage = {
  read(key) {
    try {
      return JSON.parse(sessionStorage.getItem(key));
    } catch {
      return null;
    }
  },
  write(key, value) {
    try {
      if (value === null) sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, JSON.stringify(value));
    } catch {} // full or forbidden: the page itself still has it
  },
};

// How long a task took, without the time in which nobody touched anything.
const clock = {
  task: null,
  ms: 0,
  last: 0,
  held: 0,
  begin(task) {
    const kept = storage.read("kodolly-study-clock");
    const now = performance.now(); // a clock that is set back would make the time negative
    Object.assign(clock, { task, ms: kept?.task === task ? kept.ms : 0, last: now, held: now });
  },
  touch() {
    if (!clock.task) return;
    const now = performance.now();
    clock.ms += Math.min(now - clock.last, IDLE_MS);
    clock.last = now;
    storage.write("kodolly-study-clock", { task: clock.task, ms: clock.ms });
    if (now - clock.held < HOLD_MS || queue?.corrects) return;
    clock.held = now;
    ask("POST", `tasks/${clock.task}/hold`).catch(() => {});
  },
};
for (const event of ["keydown", "pointerdown", "pointermove", "wheel", "touchmove", "focus"]) {
  addEventListener(event, () => clock.touch(), { passive: true });
}

function show() {
  const study = new URL(location.href).searchParams.get("s");
  const drawn = ++turn;
  queue = null;
  clock.task = null;
  const opened = study ? nextTask(study, drawn) : list(drawn);
  opened.catch((error) => drawn === turn && failed(error));
}

function go(study) {
  history.pushState(null, "", study ? `?s=${encodeURIComponent(study)}` : location.pathname);
  show();
}
addEventListener("popstate", show);

function failed(error) {
  const again = make("button", { textContent: t("again"), onclick: show });
  main.replaceChildren(make("h1", {}, t("title")), make("p", { className: "said bad", role: "alert" }, error.message), again);
}

// The list

async function list(drawn) {
  await saveWhatIsLeft();
  const told = await ask("GET", "studies");
  if (drawn !== turn) return;
  const cards = told.studies.map((study) => card(study, told.admin));
  main.replaceChildren(
    make("h1", {}, t("title")),
    make("p", { className: "quiet" }, t(cards.length ? "intro" : "none")),
    ...cards,
    ...(told.admin ? [newStudy(told.models, show)] : []),
  );
}

function card(study, admin) {
  const { mine, done, total } = study.progress;
  const facts = [t(study.kind), study.blind ? t("blind") : "", t("facts", study)].filter(Boolean).join(" · ");
  const closed = study.open ? "" : make("span", { className: "chip" }, t("closed"));
  const begin =
    mine < study.prompts
      ? make("button", { onclick: () => go(study.id), className: "begin" }, t(mine ? "go_on" : "begin"))
      : make("p", {}, t("all_mine"));
  return make(
    "section",
    { className: "card study", id: `study-${study.id}` },
    make("h2", {}, study.name, " ", closed),
    make("p", { className: "quiet" }, facts),
    bars({ mine, done, total }, study.prompts),
    ...(study.open ? [begin] : []),
    ...(admin ? [administration(study, show)] : []),
  );
}

function bars({ mine, done, total }, prompts) {
  return make(
    "div",
    { className: "bars" },
    bar(t("mine", { n: mine, of: prompts }), mine, prompts),
    bar(t("all", { n: done, of: total }), done, total),
  );
}

function bar(label, value, max) {
  return make("label", {}, make("span", {}, label), make("progress", { value, max: max || 1 }));
}

// The queue

async function nextTask(study, drawn) {
  const left = await saveWhatIsLeft();
  const told = left?.study?.id === study ? left : await ask("POST", `studies/${encodeURIComponent(study)}/next`);
  if (drawn === turn) drawQueue(told);
}

function drawQueue(told, corrects = false) {
  const { study, progress, task } = told;
  const head = make(
    "div",
    { className: "head" },
    make("h1", { tabIndex: -1 }, study.name),
    bars(progress, progress.total / study.raters),
    make("button", { className: "plain", id: "study-leave", onclick: leave }, t(task ? "leave" : "back_to_list")),
  );
  document.body.classList.toggle("judging", !!task);
  if (!task) {
    queue = { study, progress, task: null };
    clock.task = null;
    main.replaceChildren(head, make("p", { className: "said", id: "study-nothing" }, told.said), undoButton());
    comeBack(told.nothing, study.id);
    return;
  }
  const said = task.judgement ?? {};
  const scores = said.scores?.length ? [...said.scores] : task.answers.map(() => 0);
  queue = { study, progress, task, corrects, choice: said.choice ?? null, scores, at: 0 };
  clock.begin(task.id);
  main.replaceChildren(head, ...(corrects ? [make("p", { className: "said" }, t("corrects"))] : []), prompt(task), answers(), panel());
  mark();
  scrollTo(0, 0);
  head.querySelector("h1").focus({ preventScroll: true });
}

function comeBack(why, study) {
  const drawn = turn;
  const ms = AGAIN_MS[why];
  if (!ms) return;
  const look = () => {
    if (drawn !== turn || queue?.task) return;
    if (document.hidden) return void setTimeout(look, ms);
    nextTask(study, drawn).catch(() => setTimeout(look, ms));
  };
  setTimeout(look, ms);
}

function prompt(task) {
  const parts = [make("h2", {}, t("question")), make("p", { className: "words" }, task.question)];
  if (task.context) {
    const context = make("p", { className: "words" }, task.context);
    parts.push(make("details", { open: task.context.length < 1500 }, make("summary", {}, t("context")), context));
  }
  return make("section", { className: "card prompt" }, ...parts);
}

function answers() {
  const { task, study } = queue;
  const boxes = task.answers.map(({ text, model }, at) => {
    const body = make("div", { className: "answer" });
    draw(body, text, () => draw(body, text, () => {}));
    const label = [t("answer", { name: NAMES[at] }), model].filter(Boolean).join(" · ");
    const box = make("section", { className: "card given", ariaLabel: label }, make("h2", {}, label), body);
    if (study.kind === "score") box.append(scoreButtons(at));
    return box;
  });
  return make("div", { className: `answers of-${Math.min(boxes.length, 3)}` }, ...boxes);
}

function scoreButtons(at) {
  const buttons = [1, 2, 3, 4, 5].map((score) =>
    make("button", { type: "button", className: "choice", onclick: () => setScore(at, score), ariaLabel: `${NAMES[at]} ${score}` }, String(score)),
  );
  return make("div", { className: "scores", role: "group", ariaLabel: t("scale") }, ...buttons, make("span", { className: "quiet" }, t("scale")));
}

function panel() {
  const votes = queue.study.kind === "vote";
  const choices = [["left", "←"], ["tie", "↓"], ["both_bad", "↑"], ["right", "→"]].map(([choice, key]) =>
    make("button", { type: "button", className: "choice", onclick: () => choose(choice) }, make("kbd", {}, key), ` ${t(choice)}`),
  );
  choices.forEach((button, at) => (button.dataset.choice = ["left", "tie", "both_bad", "right"][at]));
  const confirm = make("button", { id: "study-confirm", onclick: judge }, t("confirm"), " ", make("kbd", {}, "Enter"));
  return make(
    "div",
    { className: "panel" },
    ...(votes ? [make("div", { className: "choices", role: "group", ariaLabel: t("vote") }, ...choices)] : []),
    make("div", { className: "last" }, undoButton(), confirm),
    make("p", { className: "quiet keys" }, t(votes ? "keys" : "score_keys")),
  );
}

function undoButton() {
  const button = make("button", { className: "plain", id: "study-undo", onclick: undo }, t("undo"));
  button.disabled = !queue?.progress.mine || queue.corrects;
  return button;
}

function choose(choice) {
  queue.choice = choice;
  mark();
}

function setScore(at, score) {
  queue.scores[at] = score;
  queue.at = at;
  const open = queue.scores.findIndex((given) => !given);
  if (open >= 0) lookAt(open);
  mark();
}

function lookAt(at) {
  queue.at = at;
  main.querySelectorAll(".given")[at].scrollIntoView({ block: "nearest" });
}

// What is chosen, as the buttons show it.
function mark() {
  for (const button of main.querySelectorAll("[data-choice]")) button.ariaPressed = String(button.dataset.choice === queue.choice);
  main.querySelectorAll(".given").forEach((box, at) => {
    const chosen = queue.study.kind === "score" ? at === queue.at : queue.choice === ["left", "right"][at];
    box.classList.toggle("chosen", chosen);
    box.querySelectorAll(".choice").forEach((button, n) => (button.ariaPressed = String(queue.scores[at] === n + 1)));
  });
  main.querySelector("#study-confirm").disabled = !whole();
}

const whole = () => (queue.study.kind === "vote" ? !!queue.choice : queue.scores.every(Boolean));

function press(event) {
  if (!queue || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  const on = event.target.closest?.("a, input, select, textarea, summary, button");
  if (event.key === "Backspace" && !on?.matches("input, textarea")) {
    event.preventDefault();
    return undo();
  }
  if (!queue.task || on?.matches("input, select, textarea")) return;
  if (event.key === "Enter") {
    if (on && !(on.matches(".choice[aria-pressed=true]") && whole())) return; // a button does what it says
    event.preventDefault();
    return whole() ? judge() : undefined;
  }
  const score = queue.study.kind === "score";
  if (score && /^[1-5]$/.test(event.key)) setScore(queue.at, Number(event.key));
  else if (score && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    const step = event.key === "ArrowLeft" ? -1 : 1;
    lookAt((queue.at + step + queue.scores.length) % queue.scores.length);
    mark();
  } else if (!score && CHOICES[event.key]) choose(CHOICES[event.key]);
  else return;
  event.preventDefault();
}
addEventListener("keydown", press);

async function judge() {
  if (!queue?.task || !whole() || storage.read(UNSAVED)?.id === queue.task.id) return;
  clock.touch();
  const said = queue.study.kind === "vote" ? { choice: queue.choice } : { scores: queue.scores };
  const unsaved = { id: queue.task.id, study: queue.study.id, by: given.reader, body: { ...said, seconds: clock.ms / 1000 } };
  clock.task = null;
  main.querySelector("#study-confirm").disabled = true;
  storage.write(UNSAVED, unsaved);
  const drawn = turn;
  try {
    const told = await save(unsaved);
    if (drawn === turn) drawQueue(told);
  } catch (error) {
    if (drawn === turn) failed(error);
  }
}

async function saveWhatIsLeft() {
  const unsaved = storage.read(UNSAVED);
  if (unsaved?.by && given.reader && unsaved.by !== given.reader) {
    storage.write(UNSAVED, null); // of somebody else, who has logged out in this tab: nobody says it in their name
    return null;
  }
  return unsaved ? save(unsaved) : null;
}

// Until the web UI has taken or refused it; what comes next of the study.
async function save(unsaved) {
  for (let ms = 500; ; ms = Math.min(2 * ms, LONGEST_RETRY_MS)) {
    tell(t("saving"));
    try {
      const told = await ask("PUT", `tasks/${unsaved.id}`, unsaved.body);
      storage.write(UNSAVED, null);
      tell(t("saved"));
      return told;
    } catch (error) {
      if (error.passing) {
        tell(t("away"));
        await wait(ms);
        continue;
      }
      storage.write(UNSAVED, null);
      tell(error.message);
      return ask("POST", `studies/${unsaved.study}/next`);
    }
  }
}

async function undo() {
  if (!queue?.progress.mine || queue.corrects) return;
  const drawn = turn;
  try {
    const told = await ask("GET", `studies/${queue.study.id}/last`);
    if (drawn === turn) drawQueue(told, true);
  } catch (error) {
    tell(error.message);
  }
}

function leave() {
  if (queue?.task && !queue.task.judgement) ask("POST", `tasks/${queue.task.id}/leave`).catch(() => {});
  document.body.classList.remove("judging");
  go(null);
}

show();
