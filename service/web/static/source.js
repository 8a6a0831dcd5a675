// The source panel: a stretch of a document's text with the cited sentences highlighted.

import { getJson } from "./api.js";
import { byId, element } from "./dom.js";
import { draw, number, t } from "./words.js";

const AROUND = 3000; // characters shown before and after what is cited
let opener = null;

/** Show `cited`, citations of one document, in its text. */
export async function openSource(cited) {
  const spans = cited.map(({ start, end }) => ({ start, end })).sort((a, b) => a.start - b.start);
  const from = Math.max(0, spans[0].start - AROUND);
  const to = spans[spans.length - 1].end + AROUND;
  const page = cited[0].page;
  await show(cited[0].document_id, from, to, spans, page);
}

export async function openDocument(id) {
  await show(id, 0, 4 * AROUND, [], null);
}

export function closeSource() {
  byId("source").hidden = true;
  if (opener?.isConnected) opener.focus();
  opener = null;
}

async function show(id, from, to, spans, page) {
  opener = document.activeElement;
  const part = await getJson(`/v1/documents/${encodeURIComponent(id)}/text?start=${from}&end=${to}`);
  byId("source-title").textContent = part.title || part.source;
  const place = byId("source-place");
  const source = part.source === part.title ? "" : part.source;
  draw(place, () => (place.textContent = [source, page === null ? "" : t("page", { page })].filter(Boolean).join(" · ")));
  const text = byId("source-text");
  text.replaceChildren(...highlighted(part, spans));
  if (part.end - part.start < part.characters) {
    const note = element("p", { class: "quiet" });
    draw(note, () => (note.textContent = t("truncatedText", { count: number(part.characters) })));
    text.append(note);
  }
  byId("source").hidden = false;
  const mark = text.querySelector("mark");
  if (mark) mark.scrollIntoView({ block: "center" });
  else text.scrollTop = 0;
  text.focus({ preventScroll: true });
}

/** Offsets count code points; JavaScript's strings count UTF-16 units, so the text is taken apart first. */
function highlighted(part, spans) {
  const characters = Array.from(part.text);
  const slice = (start, end) => characters.slice(start - part.start, end - part.start).join("");
  const nodes = [];
  let position = part.start;
  for (const { start, end } of spans) {
    if (start < position) continue; // the same sentence cited twice
    nodes.push(slice(position, start), element("mark", {}, slice(start, end)));
    position = end;
  }
  nodes.push(slice(position, part.end));
  return nodes;
}
