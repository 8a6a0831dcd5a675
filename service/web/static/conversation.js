// A conversation on a page that has a composer and a list of messages: asks, shows the answer as it comes, says what failed, and
// keeps the history that goes with the next question. The chat page and the widget differ in how they send and what they show after.

import { Problem, events } from "./api.js";
import { byId, element } from "./dom.js";
import { draw, reasonOf, t } from "./words.js";

const NEAR = 160; // pixels from the end of the list: who has scrolled further up is reading and is left there

/**
 * Wires the page's composer. `send(messages, signal)` gives the streamed reply, `finish(answer, text, fovea)` shows what belongs to
 * it, `rows` is how far the field grows. Gives `stop` and `clear`.
 */
export function conversation({ send, finish, rows }) {
  let history = []; // as the server wants it
  let running = null; // AbortController of the answer that is coming in

  async function ask(question) {
    running = new AbortController();
    setBusy(true);
    byId("welcome").hidden = true;
    const text = element("div", { class: "text waiting", "data-text": "working" }, t("working"));
    const answer = element("li", { class: "answer" }, text);
    byId("messages").append(element("li", { class: "question" }, question), answer);
    answer.scrollIntoView({ block: "end" });
    try {
      const messages = [...history, { role: "user", content: question }];
      const fovea = await receive(await send(messages, running.signal), text);
      arrive(text);
      draw(answer, () => complete(answer, text, fovea));
      answer.scrollIntoView({ block: "nearest" });
      history = [...messages, { role: "assistant", content: fovea.answer }];
    } catch (error) {
      showFailure(answer, text, error);
    } finally {
      running = null;
      setBusy(false);
    }
  }

  /** Show what belongs to an answer; in another language later, what was opened stays open. */
  function complete(answer, text, fovea) {
    const folds = () => [...answer.querySelectorAll("details")];
    const open = folds().map((fold) => fold.open);
    answer.replaceChildren(text);
    finish(answer, text, fovea);
    folds().forEach((fold, index) => (fold.open = open[index] ?? false));
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
    field.rows = Math.min(rows, field.value.split("\n").length);
  }

  const stop = () => running?.abort();

  function clear() {
    stop();
    history = [];
    for (const message of [...byId("messages").children]) if (message.id !== "welcome") message.remove();
    byId("welcome").hidden = false;
    byId("question").focus();
  }

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
  byId("question").addEventListener("input", ({ target }) => grow(target));
  byId("stop").addEventListener("click", stop);
  return { stop, clear };
}

/** Show the parts as they come; the `fovea` object of the last chunk is the result. */
async function receive(response, text) {
  let fovea = null;
  for await (const { name, data } of events(response)) {
    if (data === "[DONE]" && fovea) return fovea;
    const chunk = JSON.parse(data);
    if (name === "error") throw new Problem(chunk.status, chunk.code, chunk.detail);
    const part = chunk.choices?.[0]?.delta?.content;
    if (part) {
      arrive(text);
      text.append(part);
      keepInView(text);
    }
    fovea = chunk.fovea || fovea;
  }
  throw new Problem(0, "lost", t("lost")); // the end was never announced
}

/** Let the answer take the place of the word that it is awaited. */
function arrive(text) {
  if (!text.classList.contains("waiting")) return;
  text.textContent = "";
  text.classList.remove("waiting");
  delete text.dataset.text;
}

function keepInView(text) {
  const list = byId("messages");
  if (list.scrollHeight - list.scrollTop - list.clientHeight < NEAR) text.scrollIntoView({ block: "end" });
}

function showFailure(answer, text, error) {
  arrive(text);
  const stopped = error.name === "AbortError";
  const reason = element("p", { class: stopped ? "note" : "error", role: "alert" });
  draw(reason, () => (reason.textContent = stopped ? t("stopped") : reasonOf(error)));
  answer.append(reason);
}

function setBusy(busy) {
  byId("send").hidden = busy;
  byId("stop").hidden = !busy;
  if (!busy) byId("question").focus();
}
