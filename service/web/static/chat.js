// The chat page: a conversation beside its documents; an answer comes with its citations and its bill.

import { getJson, onKeyNeeded, postJson, setKey } from "./api.js";
import { QUOTING, renderBill, renderDoubts, renderNearest, renderText } from "./answer.js";
import { conversation } from "./conversation.js";
import { showDocuments, showMore, upload } from "./documents.js";
import { byId, element } from "./dom.js";
import { closeSource, openSource } from "./source.js";
import { switchLanguage, t, translate } from "./words.js";

function send(messages, signal) {
  return postJson("/v1/chat/completions", { model: "fovea", messages, stream: true, fovea: options() }, signal);
}

function options() {
  const maxTokens = Number.parseInt(byId("max-tokens").value, 10);
  const constraints = byId("constraints").value.split("\n").map((line) => line.trim()).filter(Boolean);
  return { constraints, ...(maxTokens > 0 ? { max_tokens: maxTokens } : {}) };
}

function finish(answer, text, fovea) {
  text.replaceChildren(...renderText(fovea.answer, fovea.citations, show));
  if (fovea.abstained) answer.prepend(element("p", { class: "note" }, t("abstained")));
  answer.append(...renderNearest(fovea.nearest, show), ...renderDoubts(fovea));
  if (fovea.degraded) answer.prepend(element("p", { class: "note" }, t("degraded")));
  answer.append(renderBill(fovea, show));
  if (!fovea.degraded) showModel(fovea.model);
}

/** Name the model; where none is configured, say what answers are instead. */
function showModel(name) {
  const place = byId("model");
  if (name === QUOTING) place.dataset.text = "quoting";
  else delete place.dataset.text;
  place.textContent = name === QUOTING ? t("quoting") : name;
}

function show(cited) {
  openSource(cited).catch((error) => window.alert(error.message));
}

function onKey(event, stop) {
  if (event.key === "Escape" && !byId("key-dialog").open) {
    if (!byId("source").hidden) closeSource();
    else stop();
  }
  const typing = /^(INPUT|TEXTAREA)$/.test(document.activeElement?.tagName || "");
  if (event.key === "/" && !typing) {
    event.preventDefault();
    byId("question").focus();
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
  const { stop, clear } = conversation({ send, finish, rows: 8 });
  byId("new-chat").addEventListener("click", () => {
    closeSource();
    clear();
  });
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
  document.addEventListener("keydown", (event) => onKey(event, stop));
  acceptDrops();
  showDocuments()
    .then(() => getJson("/v1/models"))
    .then((models) => showModel(models.data.at(-1).id))
    .catch(() => (byId("no-documents").hidden = false));
  byId("question").focus();
}

start();
