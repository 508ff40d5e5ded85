// The question box, from the first moment that it is seen: what is typed in it stays, and what is sent waits until
// the page has its models and its conversation. Runs in the head of the page, before Gradio draws anything.

(() => {
  const DRAFT = `kodolly-draft:${location.pathname}`;
  let ready = false;
  let waiting = null; // the composer whose question goes out once the page is ready
  let taken = ""; // the question that left the box last: the id of an answer to it

  // A login that ended, also in the middle of an answer, leads to the login page and from there back.
  const ask = window.fetch;
  window.fetch = async (...given) => {
    const response = await ask(...given);
    const login = response.status === 401 && response.headers.get("kodolly-login");
    if (login) location.assign(`${login}?next=${encodeURIComponent(location.pathname + location.search)}`);
    const notice = response.headers.get("kodolly-notice");
    if (notice) tell(decodeURIComponent(notice));
    return response;
  };

  // Words at the edge of the page, read aloud too: from the load event on the region is there before them. They
  // go by themselves.
  const NOTICE_MS = 10000;
  const notices = document.createElement("div");
  notices.className = "kd-notices";
  notices.setAttribute("role", "status");

  function tell(words) {
    const notice = document.createElement("button");
    notice.className = "kd-told";
    notice.textContent = words;
    notice.addEventListener("click", () => notice.remove());
    setTimeout(() => notice.remove(), NOTICE_MS);
    if (!notices.isConnected) document.body.append(notices);
    notices.replaceChildren(notice);
  }

  const boxOf = (composer) => composer?.querySelector("textarea");

  // Storage that is full or forbidden: the box itself still has the words.
  function keep(words) {
    try {
      if (words) sessionStorage.setItem(DRAFT, words);
      else sessionStorage.removeItem(DRAFT);
    } catch {}
  }

  function kept() {
    try {
      return sessionStorage.getItem(DRAFT);
    } catch {
      return null;
    }
  }

  function hold(event) {
    const composer = ready ? null : event.target.closest?.(".kd-composer");
    if (!composer) return;
    const sends = event.type === "keypress" ? event.key === "Enter" && !event.shiftKey : event.target.closest("button");
    if (!sends) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    waiting = composer;
    composer.setAttribute("aria-busy", "true");
  }

  addEventListener("keypress", hold, true);
  addEventListener("click", hold, true);
  addEventListener("input", ({ target }) => target === boxOf(target.closest?.(".kd-composer")) && keep(target.value), true);

  // Events of the page that a route of the web UI answers (`pages/page_events.py`): by name, those that are on their
  // way. `given` are the values of the inputs; what comes back changes the outputs. An event happens once at a time:
  // another is left out, and one that is to happen `again` waits. Nobody has asked for one that is `quiet`.
  // Those that draw a conversation `read` parts of the page: they happen one after another, and a part that one of
  // them has changed since the next was asked for is read as it is now. A question that goes out while the switch
  // beside it is still being answered so stays on the screen, and one after "new" begins a new conversation.
  const events = new Map();
  let turn = Promise.resolve(); // the last of those that draw
  let drawn = 0; // how many have been answered
  let onPage = 0; // and how many of these Gradio has put on the page: it does so in the next frame
  const values = new Map(); // part -> its value, and which of them has changed it
  const korean = () => document.documentElement.lang.startsWith("ko");

  function trouble(response) {
    if (response?.status === 400) {
      return korean() ? "웹 UI가 새로 시작되었습니다. 페이지를 새로고침하세요." : "The web UI was started anew. Reload the page.";
    }
    return korean() ? "웹 UI가 응답하지 않습니다. 잠시 뒤 다시 시도하세요." : "The web UI does not respond. Try again in a moment.";
  }

  async function event(name, given, { again, quiet, read }) {
    const before = events.get(name);
    if (before && !again) return undefined;
    const seen = onPage;
    const now = () => given.map((value, at) => (changedBy(read[at]) > seen ? values.get(read[at]).value : value));
    const answered = read
      ? turn.then(() => sent(name, now(), quiet, true))
      : (before ?? Promise.resolve()).then(() => sent(name, given, quiet));
    const over = answered.then(() => {}, () => {});
    if (read) turn = over;
    events.set(name, over);
    over.then(() => events.get(name) === over && events.delete(name));
    return answered;
  }

  const changedBy = (part) => values.get(part)?.by ?? 0;

  async function sent(name, given, quiet, draws = false) {
    const asked = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(given) };
    const address = new URL(`./page/events/${name}${location.search}`, document.baseURI); // the load event reads it
    const response = await window.fetch(address, asked).catch(() => null);
    if (!response?.ok) {
      if (!quiet && response?.status !== 401) tell(trouble(response)); // who has to log in is led there
      throw new Error(`The event ${name} was not answered`);
    }
    const changes = [];
    const by = draws ? ++drawn : 0;
    for (const [at, part, change] of await response.json()) {
      changes[at] = change;
      const value = change?.__type__ === "update" ? change.value : change;
      if (draws && value !== undefined) values.set(part, { value, by });
    }
    if (draws) requestAnimationFrame(() => requestAnimationFrame(() => { onPage = by; }));
    return changes;
  }

  window.kodolly = {
    tell,
    event,
    // The load event was answered. Returns what the question box shall hold, undefined for what it holds.
    opened(typed) {
      ready = true;
      document.body.append(notices); // Gradio has emptied the body by now
      document.documentElement.dataset.kdReady = "";
      if (waiting) {
        const composer = waiting;
        composer.removeAttribute("aria-busy");
        // After Gradio has read what the page now says.
        setTimeout(() => composer.querySelector("button[id$=-send]")?.click());
        return undefined;
      }
      const words = new URL(location.href).searchParams.get("q") || kept();
      return typed || !words ? undefined : words;
    },
    // A question went out. Returns what is left in the box: what was typed since.
    took(asked, typed) {
      if (!asked?.id || asked.id === taken) return undefined;
      taken = asked.id;
      const sent = asked.question, now = (typed ?? "").trimStart();
      const left = now.startsWith(sent) ? now.slice(sent.length).trimStart() : typed;
      keep(left);
      return left;
    },
  };
})();
