// The chat page: asks, shows the answer as it comes, then its citations and its bill.

import { Problem, events, getJson, onKeyNeeded, postJson, setKey } from "./api.js";
import { renderBill, renderDoubts, renderNearest, renderText } from "./answer.js";
import { showDocuments, showMore, upload } from "./documents.js";
import { byId, element } from "./dom.js";
import { closeSource, openSource } from "./source.js";
import { switchLanguage, t, translate } from "./words.js";

let history = []; // the conversation so far, as the server wants it
let running = null; // AbortController of the answer that is coming in

function options() {
  const maxTokens = Number.parseInt(byId("max-tokens").value, 10);
  const constraints = byId("constraints").value.split("\n").map((line) => line.trim()).filter(Boolean);
  return { constraints, ...(maxTokens > 0 ? { max_tokens: maxTokens } : {}) };
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
    const body = { model: "fovea", messages, stream: true, fovea: options() };
    const response = await postJson("/v1/chat/completions", body, running.signal);
    const fovea = await receive(response, text);
    finish(answer, text, fovea);
    history = [...messages, { role: "assistant", content: fovea.answer }];
  } catch (error) {
    showFailure(answer, text, error);
  } finally {
    running = null;
    setBusy(false);
  }
}

/** Show the parts as they come; the `fovea` object of the last chunk is the result. */
async function receive(response, text) {
  let fovea = null;
  let started = false;
  for await (const { name, data } of events(response)) {
    if (data === "[DONE]" && fovea) return fovea;
    const chunk = JSON.parse(data);
    if (name === "error") throw new Problem(chunk.status, chunk.code, chunk.detail);
    const part = chunk.choices?.[0]?.delta?.content;
    if (part) {
      if (!started) {
        text.textContent = "";
        text.classList.remove("waiting");
        started = true;
      }
      text.append(part);
      keepInView(text);
    }
    fovea = chunk.fovea || fovea;
  }
  throw new Problem(0, "lost", t("lost")); // the end was never announced
}

function keepInView(text) {
  const list = byId("messages");
  if (list.scrollHeight - list.scrollTop - list.clientHeight < 160) text.scrollIntoView({ block: "end" });
}

function finish(answer, text, fovea) {
  text.classList.remove("waiting");
  text.replaceChildren(...renderText(fovea.answer, fovea.citations, show));
  if (fovea.abstained) answer.prepend(element("p", { class: "note" }, t("abstained")));
  answer.append(...renderNearest(fovea.nearest, show), ...renderDoubts(fovea));
  if (fovea.degraded) answer.prepend(element("p", { class: "note" }, t("degraded")));
  answer.append(renderBill(fovea, show));
  byId("model").textContent = fovea.model;
  answer.scrollIntoView({ block: "nearest" });
}

function show(cited) {
  openSource(cited).catch((error) => window.alert(error.message));
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
  grow(field);
  ask(question);
}

function grow(field) {
  field.rows = Math.min(8, field.value.split("\n").length);
}

function newChat() {
  running?.abort();
  history = [];
  for (const message of [...byId("messages").children]) if (message.id !== "welcome") message.remove();
  byId("welcome").hidden = false;
  closeSource();
  byId("question").focus();
}

function onKey(event) {
  if (event.key === "Escape" && !byId("key-dialog").open) {
    if (!byId("source").hidden) closeSource();
    else running?.abort();
  }
  const typing = /^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName || "");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    byId("question").focus();
  }
}

function onQuestionKey(event) {
  // While a Chinese input method composes, Enter chooses a word and does not send.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  }
}

let waitingForKey = null; // one dialog, however many calls want the key

function requestKey() {
  waitingForKey ??= new Promise((resolve) => {
    const dialog = byId("key-dialog");
    if (!dialog.open) dialog.showModal();
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      setKey(byId("key").value.trim());
      byId("key").value = "";
      dialog.close();
      waitingForKey = null;
      resolve();
    };
  });
  return waitingForKey;
}

function acceptDrops() {
  const zone = byId("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) zone.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    upload([...event.dataTransfer.files]);
  });
}

function start() {
  translate();
  onKeyNeeded(requestKey);
  byId("key-dialog").addEventListener("cancel", (event) => event.preventDefault());
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  byId("question").addEventListener("keydown", onQuestionKey);
  byId("question").addEventListener("input", (event) => grow(event.target));
  byId("stop").addEventListener("click", () => running?.abort());
  byId("new-chat").addEventListener("click", newChat);
  byId("close-source").addEventListener("click", closeSource);
  byId("more-documents").addEventListener("click", showMore);
  byId("language").addEventListener("click", () => {
    switchLanguage();
    showDocuments();
  });
  byId("files").addEventListener("change", (event) => {
    upload([...event.target.files]);
    event.target.value = "";
  });
  document.addEventListener("keydown", onKey);
  acceptDrops();
  showDocuments()
    .then(() => getJson("/v1/models"))
    .then((models) => (byId("model").textContent = models.data.at(-1).id))
    .catch(() => (byId("no-documents").hidden = false));
  byId("question").focus();
}

start();
