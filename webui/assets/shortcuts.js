// Keys that do something on a page, and the sheet that lists them (webui/pages/shortcuts.py). Keys of letters, digits
// and signs are only heard outside of fields, and not at all where the reader has switched them off (WCAG 2.1.4).

const OFF = "kodolly-letters-off";

const sheet = () => document.getElementById("help");
const press = (selector) => {
  const found = document.querySelector(selector);
  if (!found?.offsetParent || found.disabled) return false;
  found.click();
  return true;
};
const pressVote = (number) => {
  const there = [...document.querySelectorAll(".kd-vote-row button")].filter((each) => each.offsetParent);
  const vote = there[number - 1];
  if (!vote || vote.disabled) return false;
  vote.click();
  return true;
};
const goTo = (selector) => {
  const found = document.querySelector(selector);
  found?.focus();
  return Boolean(found);
};

function lettersOff() {
  try {
    return localStorage.getItem(OFF) !== null;
  } catch {
    return false;
  }
}

function setLetters(on) {
  try {
    if (on) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "yes");
  } catch {}
}

function show() {
  document.getElementById("help-letters").checked = !lettersOff();
  sheet().showModal();
  return true;
}

// What a key does; letters and digits by their place, which a Korean input method leaves as it is.
function act({ key, code, shiftKey }) {
  if (key === "?") return sheet() ? show() : false;
  if (key === "/") return goTo(".kd-composer textarea");
  if (shiftKey) return false;
  if (code === "KeyN") return press("#compare-clear, #chat-new");
  const number = Number(/^(?:Digit|Numpad)([1-6])$/.exec(code)?.[1]);
  return number ? pressVote(number) : false;
}

// A field, and whatever else takes such a key itself: a list, a radio button, a slider.
const takesKeys = (target) => target.isContentEditable || target.closest?.("input, textarea, select, [role=listbox]");

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (takesKeys(event.target) || sheet()?.open || lettersOff()) return;
  if (act(event)) event.preventDefault();
});

document.addEventListener("click", ({ target }) => {
  if (target.closest?.("#help-open")) show();
  else if (target.closest?.("#help-close") || target === sheet()) sheet().close();
  else if (target.id === "help-letters") setLetters(target.checked);
});
