// What administrators see of studies: the form of a new one, and what has come of each.

import { ask, make, t, tell } from "./study_page.js";

const NONE_MS = 2000; // how often the page looks for a model while there is none

export function newStudy(models, done) {
  const said = make("p", { className: "problem", role: "alert" });
  const form = make(
    "form",
    { className: "card", id: "study-new" },
    make("h2", {}, t("new")),
    labelled("name", make("input", { name: "name", required: true, maxLength: 200, autocomplete: "off" })),
    labelled("file", make("input", { name: "file", type: "file", accept: ".csv,.tsv,.jsonl,.ndjson,.txt", required: true })),
    make("p", { className: "quiet" }, t("file_hint")),
    choices("kind", ["vote", "score"].map((kind, at) => tick("radio", "kind", kind, t(`kind_${kind}`), !at))),
    modelChoice(models),
    labelled("raters", make("input", { name: "raters", type: "number", min: 1, max: 100, value: 3, required: true, inputMode: "numeric" })),
    tick("checkbox", "blind", "true", t("hide"), true),
    make("p", { className: "quiet" }, t("cost")),
    said,
    make("button", {}, t("make")),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    said.textContent = "";
    try {
      await ask("POST", "studies", new FormData(form));
      done();
    } catch (error) {
      said.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  });
  return form;
}

function labelled(name, input) {
  input.id = `study-${name}`;
  return make("div", { className: "field" }, make("label", { htmlFor: input.id }, t(name)), input);
}

function choices(name, ticks) {
  return make("fieldset", { className: name }, make("legend", {}, t(name)), ...ticks);
}

// Which models answer. One that starts while the form is being filled in is there when its reader comes back to the
// page; while there is none at all, the page looks by itself.
function modelChoice(models) {
  const box = choices("models", []);
  const legend = box.firstChild;
  let timer;
  const fill = (names) => {
    const ticked = new Set([...box.querySelectorAll("input:checked")].map((input) => input.value));
    const ticks = names.map((name) => tick("checkbox", "models", name, name, ticked.has(name)));
    box.replaceChildren(legend, ...(ticks.length ? ticks : [make("p", {}, t("no_models"))]));
  };
  const look = async () => {
    if (!box.isConnected) return removeEventListener("focus", look);
    const told = await ask("GET", "studies").catch(() => null);
    if (told && told.models.join("\n") !== models.join("\n")) fill((models = told.models));
    lookLater();
  };
  const lookLater = () => {
    clearTimeout(timer);
    if (!models.length && !document.hidden) timer = setTimeout(look, NONE_MS);
  };
  addEventListener("focus", look);
  fill(models);
  lookLater();
  return box;
}

function tick(type, name, value, words, checked = false) {
  return make("label", { className: "sure" }, make("input", { type, name, value, checked }), ` ${words}`);
}

export function administration(study, changed) {
  const box = make("details", { className: "report" }, make("summary", {}, t("report")));
  const body = make("div");
  box.append(body);
  box.addEventListener("toggle", async () => {
    if (!box.open) return;
    try {
      body.replaceChildren(...report(study, await ask("GET", `studies/${study.id}`), changed));
    } catch (error) {
      body.replaceChildren(make("p", { className: "problem", role: "alert" }, error.message));
    }
  });
  return box;
}

function report(study, told, changed) {
  const { ready, failed, total } = study.answers;
  const parts = [make("p", {}, t("answers", { ready, total }), failed ? ` · ${t("failed", { count: failed })}` : "")];
  for (const failure of told.failures) parts.push(make("p", { className: "problem" }, failure));
  if (failed) parts.push(act(t("fetch_again"), () => ask("POST", `studies/${study.id}/answers`), changed));
  if (told.unsent) parts.push(make("p", {}, t("unsent", { count: told.unsent })));
  parts.push(figures(told), models(study, told), raters(told), make("p", { className: "quiet" }, t("idle")));
  const change = study.open ? "close" : "reopen";
  parts.push(
    make(
      "p",
      { className: "ways" },
      link(`./results?study=${study.id}`, t("in_results")),
      link(`./study/files/${study.id}.csv`, "CSV"),
      link(`./study/files/${study.id}.jsonl`, "JSONL"),
    ),
    act(t(change), () => ask("POST", `studies/${study.id}`, { open: !study.open }), changed),
  );
  return parts;
}

const number = (value, digits = 2) => (value === null ? "–" : value.toFixed(digits));
const seconds = (value) => (value === null ? "–" : t("seconds", { s: value.toFixed(value < 10 ? 1 : 0) }));

function figures(told) {
  const alpha = told.agreement === null ? t("agreement_none") : number(told.agreement);
  return make(
    "dl",
    {},
    ...[[t("agreement"), alpha], [t("time"), seconds(told.median_s)]].flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
  );
}

function models(study, told) {
  const votes = study.kind === "vote";
  const rows = told.models.map((one) => [one.model, votes ? String(one.wins) : number(one.mean_score)]);
  const drawn = table([t("model"), t(votes ? "wins" : "mean")], rows);
  return votes ? make("div", {}, drawn, make("p", { className: "quiet" }, t("ties", { ties: told.ties, bad: told.both_bad }))) : drawn;
}

function raters(told) {
  const rows = told.raters.map((one) => [one.rater, String(one.judged), seconds(one.median_s)]);
  return table([t("rater"), t("judged"), t("median")], rows);
}

function table(head, rows) {
  const heads = make("tr", {}, ...head.map((cell) => make("th", { scope: "col" }, cell)));
  const lines = rows.map(([name, ...cells]) =>
    make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((cell) => make("td", {}, cell))),
  );
  const drawn = make("table", {}, make("thead", {}, heads), make("tbody", {}, ...lines));
  return make("div", { className: "wide", tabIndex: 0 }, drawn);
}

function link(href, words) {
  return make("a", { href }, words);
}

function act(words, work, changed) {
  return make("button", {
    className: "plain",
    type: "button",
    textContent: words,
    onclick: () => work().then(changed, (error) => tell(error.message)),
  });
}
