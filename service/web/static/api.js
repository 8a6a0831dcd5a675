// Calls to the server: the key, problems, and server-sent events.

const KEY = "fovea-key";
let askForKey = async () => {};

/** `ask` is called where the server wants a key; it resolves once `setKey` was given one. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** fetch with the key; asks for one on 401 and tries again. Throws Problem for every other failure. */
export async function call(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const response = await fetch(path, { ...options, headers });
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (problem.status !== 401) throw problem;
    await askForKey();
  }
}

export async function getJson(path) {
  return (await call(path)).json();
}

export function postJson(path, body, signal) {
  return call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal });
}

/** The problem that a failed response describes. */
export async function problemOf(response) {
  try {
    const body = await response.json();
    return new Problem(response.status, body.code ?? "http_error", body.detail ?? `HTTP ${response.status}`);
  } catch {
    return new Problem(response.status, "http_error", `HTTP ${response.status}`);
  }
}

/** Yields {name, data} for each event of a response. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    pending += value;
    let end;
    while ((end = pending.indexOf("\n\n")) >= 0) {
      yield parseEvent(pending.slice(0, end));
      pending = pending.slice(end + 2);
    }
  }
}

function parseEvent(block) {
  const found = { name: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) found.name = line.slice(7);
    if (line.startsWith("data: ")) found.data += line.slice(6);
  }
  return found;
}
