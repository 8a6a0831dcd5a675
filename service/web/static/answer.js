// One answer: text with citation chips, and the bill below it.

import { element } from "./dom.js";
import { number, t } from "./words.js";

export const QUOTING = "extractive"; // the name under which the server quotes the documents and asks no model
const MARK = /\[(\d{1,3})\]/g;

/** The answer's text as nodes; [n] becomes a chip where the server resolved citation n, and stays text elsewhere. */
export function renderText(text, citations, openSource) {
  const nodes = [];
  const cite = citationsOf(text, citations);
  let position = 0;
  for (const match of text.matchAll(MARK)) {
    const cited = cite(Number(match[1]));
    if (!cited.length) continue;
    nodes.push(text.slice(position, match.index), chip(cited, openSource));
    position = match.index + match[0].length;
  }
  nodes.push(text.slice(position));
  return nodes;
}

/** The citations of a mark's next occurrence: its own where each has one, else all of the mark. */
function citationsOf(text, citations) {
  const occurrences = [...text.matchAll(MARK)].map((match) => Number(match[1]));
  const seen = new Map();
  return (mark) => {
    const all = citations.filter((item) => item.mark === mark);
    const index = seen.get(mark) || 0;
    seen.set(mark, index + 1);
    return all.length === occurrences.filter((item) => item === mark).length ? all.slice(index, index + 1) : all;
  };
}

function chip(cited, openSource) {
  const first = cited[0];
  const verified = cited.every((item) => item.verified);
  const page = first.page === null ? "" : `, ${t("page", { page: first.page })}`;
  const label = t("citation", { mark: first.mark, title: (first.title || first.source) + page });
  return element(
    "button",
    {
      type: "button",
      class: verified ? "chip" : "chip unverified",
      title: verified ? `${label}\n${first.quote}` : `${label}\n${t("unverified")}`,
      "aria-label": label,
      onclick: () => openSource(cited),
    },
    String(first.mark),
  );
}

/** The passages that came nearest to a question without an answer, each opening its document. */
export function renderNearest(nearest, openSource) {
  if (!nearest || !nearest.length) return [];
  const items = nearest.map((item) => {
    const heading = (item.title || item.source) + (item.page === null ? "" : `, ${t("page", { page: item.page })}`);
    const open = element("button", { type: "button", class: "link heading", onclick: () => openSource([item]) }, heading);
    return element("li", {}, open, element("q", {}, item.text));
  });
  return [element("div", { class: "passages nearest" }, t("nearest"), element("ul", {}, ...items))];
}

/** The sentences that say what their evidence does not, in the answer's own words. */
export function renderDoubts({ answer, sentences }) {
  const characters = Array.from(answer); // offsets count code points
  const doubted = (sentences || []).filter((item) => item.supported === false);
  return doubted.map((item) =>
    element("p", { class: "note doubted" }, t("doubted"), " ", element("q", {}, characters.slice(item.start, item.end).join(""))),
  );
}

/** A line on what was sent and avoided, opening to the parts of the prompt and to what was left out. */
export function renderBill(fovea, openSource) {
  const { bill, evidence, dropped, timings } = fovea;
  const quoting = fovea.model === QUOTING && !fovea.degraded;
  const summary = element(
    "summary",
    {},
    element("span", { class: "sent" }, t(quoting ? "chosen" : "sent", { sent: number(bill.evidence) })),
    bill.avoided > 0 ? element("span", { class: "avoided" }, avoided(bill)) : null,
    timings.total === undefined ? null : element("span", {}, t("answeredIn", { seconds: (timings.total / 1000).toFixed(2) })),
  );
  const account = evidence.length ? [promptLine(bill, quoting), parts(bill)] : [element("p", { class: "prompt" }, t("noPrompt"))];
  return element("details", { class: "bill" }, summary, passages(evidence, quoting, openSource), left(dropped), ...account);
}

/** The evidence word for word: all that the model was shown of the documents, or that the answer quotes from. */
function passages(evidence, quoting, openSource) {
  if (!evidence.length) return null;
  const items = evidence.map((item) => {
    const spans = item.spans.map((span) => ({ ...span, document_id: item.document_id, page: item.page }));
    const heading = [...new Set([item.title || item.source, ...item.heading_path])].join(" › ");
    const open = element("button", { type: "button", class: "link heading", onclick: () => openSource(spans) }, `[${item.mark}] ${heading}`);
    return element("li", {}, open, element("q", {}, item.text));
  });
  return element("div", { class: "passages" }, t(quoting ? "chosenPassages" : "sentPassages"), element("ul", {}, ...items));
}

function avoided(bill) {
  const percent = Math.round((100 * bill.avoided) / bill.baseline);
  return t("avoided", { avoided: number(bill.avoided), percent });
}

/** The prompt in one sentence: its size, how far the model's own count may exceed it, and what the model counted. */
function promptLine(bill, quoting) {
  const percent = Math.round((100 * bill.margin) / bill.total);
  const size = { total: number(bill.total), limit: number(bill.limit) };
  if (quoting) return element("p", { class: "prompt" }, t("quoting") + t("promptNone", size));
  const said = [t("prompt", size)];
  if (percent > 0) said.push(t("promptMargin", { percent }));
  if (bill.reported !== null) said.push(t("promptReported", { reported: number(bill.reported) }));
  if (bill.reported > bill.total + bill.margin) said.push(t("promptBeyond"));
  return element("p", { class: "prompt" }, said.join(""));
}

function parts(bill) {
  const rows = [
    ["system", bill.system],
    ["constraintsPart", bill.constraints],
    ["history", bill.history],
    ["evidence", bill.evidence],
    ["questionPart", bill.question],
    ["total", bill.total],
    ...(bill.reported === null ? [] : [["reported", bill.reported]]),
    ["margin", bill.margin],
    ["reserve", bill.reserve],
    ["limit", bill.limit],
    ["baseline", bill.baseline],
  ];
  const body = rows.map(([name, tokens]) =>
    element("tr", { class: name }, element("th", { scope: "row" }, t(name)), element("td", {}, number(tokens))),
  );
  return element(
    "table",
    {},
    element("caption", {}, t("countedBy", { tokenizer: bill.tokenizer })),
    element("thead", {}, element("tr", {}, element("th", {}, t("billPart")), element("th", {}, t("billTokens")))),
    element("tbody", {}, ...body),
  );
}

function left(dropped) {
  if (!dropped.length) return null;
  const counts = new Map();
  for (const item of dropped) counts.set(item.reason, (counts.get(item.reason) || 0) + 1);
  const lines = [...counts].map(([reason, count]) => element("li", {}, t(`reason_${reason}`, { count: number(count) })));
  return element("div", { class: "dropped" }, t("dropped", { count: number(dropped.length) }), element("ul", {}, ...lines));
}
