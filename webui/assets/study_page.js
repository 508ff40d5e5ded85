// What the scripts of the study page share: its words, its elements, its requests.

const { words } = JSON.parse(document.getElementById("given").textContent);

export const t = (key, values = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

// An element with properties and children; words among them are only ever text.
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

export function tell(said) {
  document.getElementById("told").textContent = said;
}

// What the web UI answers. Throws an Error whose message is for people; `passing`: the same may work later.
export async function ask(method, path, body) {
  const form = body instanceof FormData;
  const headers = body && !form ? { "content-type": "application/json" } : {};
  let response;
  try {
    response = await fetch(`./study/api/${path}`, { method, headers, body: body && !form ? JSON.stringify(body) : body });
  } catch {
    throw Object.assign(new Error(t("away")), { passing: true });
  }
  const login = response.status === 401 && response.headers.get("kodolly-login");
  if (login) {
    location.assign(`${login}?next=${encodeURIComponent(location.pathname + location.search)}`);
    await new Promise(() => {}); // the page goes
  }
  const told = await response.json().catch(() => null);
  if (response.ok && told) return told;
  const error = new Error(told?.error?.message ?? t("away"));
  throw Object.assign(error, { passing: response.status >= 500 || response.status === 429 });
}
