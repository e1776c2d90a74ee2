// Requests to the server. The token is kept for this tab and this port only, and goes into a header.

const KEY = "runhouse-token";
const state = { base: "", token: sessionStorage.getItem(KEY) };

export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Take the token that whoever has opened the page gave, and remove it from the address. */
export function takeToken() {
  const given = location.hash.match(/^#token=(.+)$/);
  if (given) {
    setToken(decodeURIComponent(given[1]));
    history.replaceState(null, "", location.pathname);
  }
  return state.token;
}

export function setToken(token) {
  state.token = token;
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

/** Send what follows to one of several clusters; "" for the only one that there is. */
export function useCluster(name) {
  state.base = name ? `/at/${encodeURIComponent(name)}` : "";
}

async function send(url, options = {}) {
  const headers = { Authorization: `Bearer ${state.token}`, ...options.headers };
  const response = await fetch(url, { cache: "no-store", ...options, headers });
  if (response.ok) return response;
  let detail = `It answered ${response.status}.`;
  try {
    detail = (await response.json()).detail || detail;
  } catch { /* no problem document: the number has to do */ }
  throw new Refused(response.status, detail);
}

/** Ask whoever serves this page, which may be more than one cluster's server. */
export async function askFront(path, body) {
  const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  return (await send(path, options)).json();
}

export const ask = (path) => askFront(state.base + path);
export const tell = (path, body = {}) => askFront(state.base + path, body);

/** Read server-sent events until the one named "end"; take them up again where they broke off. */
export async function follow(path, onEvent, signal) {
  let last = "";
  for (;;) {
    try {
      const headers = last ? { "Last-Event-ID": last } : {};
      const response = await send(state.base + path, { signal, headers });
      if (response.status === 204) return;
      for await (const event of events(response.body)) {
        if (event.id) last = event.id;
        onEvent(event.name, JSON.parse(event.data));
        if (event.name === "end") return;
      }
    } catch (error) {
      if (signal.aborted || (error instanceof Refused && error.status < 500)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
    if (signal.aborted) return;
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { name: "", id: "", data: "" };
      for (const line of block.split("\n")) {
        const colon = line.indexOf(": ");
        const field = line.slice(0, colon);
        if (field === "event") event.name = line.slice(colon + 2);
        else if (field in event) event[field] = line.slice(colon + 2);
      }
      if (event.name) yield event;
    }
  }
}
