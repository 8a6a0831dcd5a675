// The document list and uploads with their state.

import { call, getJson } from "./api.js";
import { byId, element } from "./dom.js";
import { openDocument } from "./source.js";
import { draw, number, reasonOf, t } from "./words.js";

const POLL_MILLISECONDS = 700;
const CONFIRM_MILLISECONDS = 4000;
let cursor = null;
let newest = 0; // number of the latest request: an older one that comes back later is not shown

export async function showDocuments() {
  const page = await fetchPage(null);
  if (page) fill(page, page.documents.map(line));
}

export async function showMore() {
  const page = await fetchPage(cursor);
  if (page) fill(page, [...byId("document-list").children, ...page.documents.map(line)]);
}

async function fetchPage(after) {
  const request = ++newest;
  const page = await getJson(`/v1/documents?limit=50${after ? `&cursor=${encodeURIComponent(after)}` : ""}`);
  return request === newest ? page : null;
}

function fill(page, lines) {
  cursor = page.next_cursor;
  byId("document-list").replaceChildren(...lines);
  byId("more-documents").hidden = cursor === null;
  byId("no-documents").hidden = byId("document-list").childElementCount > 0;
}

function line(item) {
  const note = item.error ? element("span", { class: "failed" }, t("failed")) : chunks(item);
  const reason = item.error ? element("p", { class: "reason" }, reasonOf(item.error)) : null;
  return element("li", { "data-id": item.id }, heading(item), note, removal(item), reason);
}

function nameOf(item) {
  return item.title || item.source;
}

/** The document's name, which opens its text; one that failed and was never read has none to open. */
function heading(item) {
  const name = nameOf(item);
  if (item.error && !item.chunks) return element("span", { class: "name", title: item.source }, name);
  const label = t("openDocument", { title: name });
  const open = () => openDocument(item.id).catch((error) => window.alert(reasonOf(error)));
  return element("button", { type: "button", class: "link", title: item.source, "aria-label": label, onclick: open }, name);
}

function chunks(item) {
  return element("span", { class: "quiet" }, t("chunks", { count: number(item.chunks) }));
}

/** A button that asks once more, in place, before it deletes. */
function removal(item) {
  const button = element("button", { type: "button", class: "remove", title: t("remove") });
  const title = nameOf(item);
  const show = (sure) => {
    button.classList.toggle("sure", sure);
    button.textContent = sure ? t("reallyRemove") : "×";
    button.setAttribute("aria-label", t(sure ? "reallyRemoveNamed" : "removeNamed", { title }));
  };
  show(false);
  button.addEventListener("click", async () => {
    if (!button.classList.contains("sure")) {
      show(true);
      setTimeout(() => show(false), CONFIRM_MILLISECONDS);
      return;
    }
    button.disabled = true;
    await call(`/v1/documents/${encodeURIComponent(item.id)}`, { method: "DELETE" });
    await showDocuments();
  });
  return button;
}

/** Send files one by one, so that each has its own state and a large one does not hold up the others' limit. */
export async function upload(files) {
  for (const file of files) {
    const state = element("span", { class: "state", "data-text": "uploading" }, t("uploading"));
    const row = element("li", {}, element("span", { class: "name" }, file.name), state);
    byId("uploads").prepend(row);
    await uploadOne(file, row, state);
  }
}

async function uploadOne(file, row, state) {
  const form = new FormData();
  form.append("files", file, file.name);
  try {
    const reply = await (await call("/v1/documents", { method: "POST", body: form })).json();
    follow(reply.documents[0].id, row, state);
  } catch (problem) {
    fail(row, state, problem);
  }
}

async function follow(id, row, state) {
  try {
    for (;;) {
      const document = await getJson(`/v1/documents/${encodeURIComponent(id)}`);
      tell(row, state, document.state);
      if (document.state === "failed") return fail(row, state, document.job?.error || document.error || { code: "" });
      if (document.state === "ready") {
        await showDocuments();
        setTimeout(() => row.remove(), CONFIRM_MILLISECONDS);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
    }
  } catch (problem) {
    fail(row, state, problem);
  }
}

function tell(row, state, name) {
  row.dataset.state = name;
  state.dataset.text = name; // so that a change of language finds it
  state.textContent = t(name);
}

function fail(row, state, error) {
  tell(row, state, "failed");
  const reason = element("p", { class: "reason" });
  draw(reason, () => (reason.textContent = reasonOf(error)));
  row.append(reason);
}
