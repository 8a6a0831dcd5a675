// The chat inside the widget's frame, asked with a publishable key, which opens one collection. It may be shown by the pages that
// the key names (the server says so in `frame-ancestors`) and listens to the page that holds it, nobody else.

import { Problem, events, problemOf } from "./api.js";
import { renderDoubts, renderText } from "./answer.js";
import { byId, element } from "./dom.js";
import { t, translate, useLanguage } from "./words.js";

const settings = new URLSearchParams(location.hash.slice(1));
const page = settings.get("page") || ""; // the origin of the page that holds the frame
let history = [];
let running = null;

function tellPage(word) {
  if (page && window.parent !== window) window.parent.postMessage({ fovea: word }, page);
}

function onMessage(event) {
  if (!page || event.origin !== page || event.source !== window.parent) return;
  if (event.data?.fovea === "open") byId("question").focus();
}

async function ask(question) {
  running = new AbortController();
  setBusy(true);
  byId("welcome").hidden = true;
  const text = element("div", { class: "text waiting" }, t("working"));
  const answer = element("li", { class: "answer" }, text);
  byId("messages").append(element("li", { class: "question" }, question), answer);
  answer.scrollIntoView({ block: "end" });
  try {
    const messages = [...history, { role: "user", content: question }];
    const fovea = await receive(await send(messages), text);
    finish(answer, text, fovea);
    history = [...messages, { role: "assistant", content: fovea.answer }];
  } catch (error) {
    showFailure(answer, text, error);
  } finally {
    running = null;
    setBusy(false);
  }
}

async function send(messages) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${settings.get("key")}` },
    body: JSON.stringify({ model: "fovea", messages, stream: true }),
    signal: running.signal,
  });
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** Show the parts as they come; the `fovea` object of the last chunk is the result. */
async function receive(response, text) {
  let fovea = null;
  let shown = "";
  for await (const { name, data } of events(response)) {
    if (data === "[DONE]" && fovea) return fovea;
    const chunk = JSON.parse(data);
    if (name === "error") throw new Problem(chunk.status, chunk.code, chunk.detail);
    const part = chunk.choices?.[0]?.delta?.content;
    if (part) {
      shown += part;
      text.classList.remove("waiting");
      text.textContent = shown;
      text.scrollIntoView({ block: "end" });
    }
    fovea = chunk.fovea || fovea;
  }
  throw new Problem(0, "lost", t("lost"));
}

function finish(answer, text, fovea) {
  const sources = element("div", { class: "sources", hidden: true, "aria-live": "polite" });
  text.classList.remove("waiting");
  text.replaceChildren(...renderText(fovea.answer, fovea.citations, (cited) => showSources(sources, cited)));
  if (fovea.abstained) answer.prepend(element("p", { class: "note" }, t("abstained")));
  if (fovea.degraded) answer.prepend(element("p", { class: "note" }, t("degraded")));
  answer.append(...renderDoubts(fovea), sources);
  answer.scrollIntoView({ block: "nearest" });
}

/** What is cited, word for word: a widget's key opens no documents. */
function showSources(sources, cited) {
  sources.replaceChildren(
    ...cited.flatMap((item) => [
      element("p", {}, [item.title || item.source, item.page === null ? "" : t("page", { page: item.page })].filter(Boolean).join(", ")),
      element("q", {}, item.quote),
    ]),
  );
  sources.hidden = false;
  sources.scrollIntoView({ block: "nearest" });
}

function showFailure(answer, text, error) {
  text.classList.remove("waiting");
  if (text.textContent === t("working")) text.textContent = "";
  const stopped = error.name === "AbortError";
  const reason = stopped ? t("stopped") : error instanceof Problem ? error.message : t("unreachable");
  answer.append(element("p", { class: stopped ? "note" : "error", role: "alert" }, reason));
}

function setBusy(busy) {
  byId("send").hidden = busy;
  byId("stop").hidden = !busy;
  if (!busy) byId("question").focus();
}

function submit() {
  const field = byId("question");
  const question = field.value.trim();
  if (!question || running) return;
  field.value = "";
  field.rows = 1;
  ask(question);
}

function newChat() {
  running?.abort();
  history = [];
  for (const message of [...byId("messages").children]) if (message.id !== "welcome") message.remove();
  byId("welcome").hidden = false;
  byId("question").focus();
}

function start() {
  useLanguage(settings.get("language"));
  translate();
  if (settings.get("title")) byId("title").textContent = settings.get("title");
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  byId("question").addEventListener("keydown", (event) => {
    // While a Chinese input method composes, Enter chooses a word and does not send.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  byId("question").addEventListener("input", ({ target }) => (target.rows = Math.min(5, target.value.split("\n").length)));
  byId("stop").addEventListener("click", () => running?.abort());
  byId("new-chat").addEventListener("click", newChat);
  byId("close").addEventListener("click", () => tellPage("close"));
  document.addEventListener("keydown", (event) => event.key === "Escape" && tellPage("close"));
  addEventListener("message", onMessage);
  tellPage("ready");
}

start();
