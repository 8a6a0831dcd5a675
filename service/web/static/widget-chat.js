// The chat inside the widget's frame, asked with a publishable key, which opens one collection. It may be shown by the pages that
// the key names (the server says so in `frame-ancestors`) and listens to the page that holds it, nobody else.

import { problemOf } from "./api.js";
import { renderDoubts, renderText } from "./answer.js";
import { conversation } from "./conversation.js";
import { byId, element } from "./dom.js";
import { t, translate, useLanguage } from "./words.js";

const settings = new URLSearchParams(location.hash.slice(1));
const page = settings.get("page") || ""; // the origin of the page that holds the frame

function tellPage(word) {
  if (page && window.parent !== window) window.parent.postMessage({ fovea: word }, page);
}

function onMessage(event) {
  if (!page || event.origin !== page || event.source !== window.parent) return;
  if (event.data?.fovea === "open") byId("question").focus();
}

async function send(messages, signal) {
  const response = await fetch("/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${settings.get("key")}` },
    body: JSON.stringify({ model: "fovea", messages, stream: true }),
    signal,
  });
  if (!response.ok) throw await problemOf(response);
  return response;
}

function finish(answer, text, fovea) {
  const sources = element("div", { class: "sources", hidden: true, "aria-live": "polite" });
  text.replaceChildren(...renderText(fovea.answer, fovea.citations, (cited) => showSources(sources, cited)));
  if (fovea.abstained) answer.prepend(element("p", { class: "note" }, t("abstained")));
  if (fovea.degraded) answer.prepend(element("p", { class: "note" }, t("degraded")));
  answer.append(...renderDoubts(fovea), sources);
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

function start() {
  useLanguage(settings.get("language"));
  translate();
  if (settings.get("title")) byId("title").textContent = settings.get("title");
  const { clear } = conversation({ send, finish, rows: 5 });
  byId("new-chat").addEventListener("click", clear);
  byId("close").addEventListener("click", () => tellPage("close"));
  document.addEventListener("keydown", (event) => event.key === "Escape" && tellPage("close"));
  addEventListener("message", onMessage);
  tellPage("ready");
}

start();
