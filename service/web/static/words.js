// The words of the page, in English and Chinese. `t(name, values)` fills {placeholders}.

const WORDS = {
  en: {
    otherLanguage: "中文",
    newChat: "New chat",
    apiDocs: "API",
    documents: "Documents",
    dropHere: "Drop files or choose",
    dropFormats: "PDF, Word, PowerPoint, Excel, HTML, Markdown, text …",
    noDocuments: "No documents yet. Drop some above, then ask about them.",
    more: "Show more",
    conversation: "Conversation",
    welcomeTitle: "Ask your documents",
    welcomeText:
      "Each answer names the sentences it rests on: press a number to see them in their document. Below it stands what was chosen as evidence, and what was left out.",
    askPlaceholder: "Ask a question …",
    question: "Question",
    send: "Ask",
    stop: "Stop",
    options: "Options",
    maxTokens: "Context tokens, at most",
    maxTokensPlaceholder: "default",
    constraints: "Rules for the answer, one a line",
    constraintsPlaceholder: "Answer in one sentence.",
    close: "Close",
    keyTitle: "API key",
    keyText: "This server asks for its key. It is kept until this tab is closed.",
    continue: "Continue",
    working: "Looking …",
    stopped: "Stopped.",
    quoting: "Quoted from the documents: no model is configured",
    sent: "{sent} tokens of evidence sent",
    chosen: "{sent} tokens of evidence chosen",
    avoided: "{avoided} avoided ({percent} %)",
    details: "What was sent and what was left out",
    billPart: "Part",
    billTokens: "Tokens",
    system: "System",
    constraintsPart: "Rules",
    history: "Conversation",
    evidence: "Evidence",
    questionPart: "Question",
    total: "Whole prompt",
    reported: "The same, counted by the model itself",
    margin: "Kept free: the model may count more",
    reserve: "Kept free: the answer",
    limit: "Limit for all of it",
    baseline: "Evidence of plain top-10 chunks",
    prompt: "Prompt: {total} of {limit} tokens",
    promptMargin: " (safe bound: +{percent} % margin)",
    promptReported: "; the model counted {reported}",
    promptBeyond: ", more than the safe bound: later prompts keep more free",
    promptNone: ". A prompt for one would have {total} of {limit} tokens.",
    noPrompt: "Nothing was sent: no model was asked.",
    countedBy: "Counted with {tokenizer}.",
    sentPassages: "Sent",
    chosenPassages: "Chosen as evidence",
    dropped: "Left out: {count} passages",
    dropped_one: "Left out: 1 passage",
    reason_below_threshold: "too weak a support for the question: {count}",
    reason_budget: "no longer fitted: {count}",
    reason_duplicate: "says what is already sent: {count}",
    reason_document_cap: "its document has its share: {count}",
    reason_rank: "others sufficed: {count}",
    page: "page {page}",
    citation: "Source {mark}: {title}",
    unverified: "The sentence of the answer and its source do not clearly agree: check it.",
    abstained: "No answer in the documents",
    nearest: "Nearest passages, not an answer:",
    doubted: "Not supported by its evidence:",
    degraded: "The model was not reachable: this answer quotes the documents directly",
    answeredIn: "{seconds} s",
    source: "Source",
    uploading: "uploading",
    queued: "waiting",
    running: "reading",
    ready: "ready",
    failed: "failed",
    remove: "Delete",
    removeNamed: "Delete {title}",
    reallyRemove: "Delete for good?",
    reallyRemoveNamed: "Delete {title} for good?",
    openDocument: "Show the text of {title}",
    chunks: "{count} passages",
    chunks_one: "1 passage",
    lost: "The connection broke off. Ask again.",
    unreachable: "The server cannot be reached.",
    widgetTitle: "Questions and answers",
    widgetWelcome: "Ask a question. Each answer names the sentences it rests on: press a number to read them.",
    closeChat: "Close the chat",
    truncatedText: "Only a part is shown; the document has {count} characters.",
  },
  zh: {
    otherLanguage: "English",
    newChat: "新对话",
    apiDocs: "接口",
    documents: "文档",
    dropHere: "把文件拖到这里，或点击选择",
    dropFormats: "PDF、Word、PowerPoint、Excel、HTML、Markdown、文本……",
    noDocuments: "还没有文档。先在上方添加，然后提问。",
    more: "显示更多",
    conversation: "对话",
    welcomeTitle: "向您的文档提问",
    welcomeText: "每个回答都会标出所依据的句子：点击编号即可在原文中查看。回答下方列出选作证据的内容，以及省去的内容。",
    askPlaceholder: "请输入问题……",
    question: "问题",
    send: "提问",
    stop: "停止",
    options: "选项",
    maxTokens: "上下文词元上限",
    maxTokensPlaceholder: "默认",
    constraints: "对回答的要求，每行一条",
    constraintsPlaceholder: "请用一句话回答。",
    close: "关闭",
    keyTitle: "API 密钥",
    keyText: "此服务器需要密钥。密钥只保留到关闭此标签页为止。",
    continue: "继续",
    working: "正在查找……",
    stopped: "已停止。",
    quoting: "直接摘自文档：未配置模型",
    sent: "发送证据 {sent} 词元",
    chosen: "选取证据 {sent} 词元",
    avoided: "节省 {avoided}（{percent}%）",
    details: "发送了什么，省去了什么",
    billPart: "部分",
    billTokens: "词元",
    system: "系统",
    constraintsPart: "要求",
    history: "对话历史",
    evidence: "证据",
    questionPart: "问题",
    total: "整个提示",
    reported: "同一提示，按模型自己的计数",
    margin: "预留：模型可能多计的部分",
    reserve: "预留：回答",
    limit: "以上合计的上限",
    baseline: "普通前 10 段所需的证据",
    prompt: "提示：{limit} 词元中的 {total}",
    promptMargin: "（安全上限：+{percent}% 余量）",
    promptReported: "；模型计得 {reported}",
    promptBeyond: "，超出安全上限：之后的提示会预留更多",
    promptNone: "。若有模型，提示将为 {limit} 词元中的 {total}。",
    noPrompt: "没有发送任何内容：未询问模型。",
    countedBy: "按 {tokenizer} 计数。",
    sentPassages: "已发送",
    chosenPassages: "选作证据",
    dropped: "省去 {count} 段",
    reason_below_threshold: "与问题关系不够：{count}",
    reason_budget: "放不下：{count}",
    reason_duplicate: "内容重复：{count}",
    reason_document_cap: "该文档已占足份额：{count}",
    reason_rank: "其他段落已足够：{count}",
    page: "第 {page} 页",
    citation: "来源 {mark}：{title}",
    unverified: "回答中的这句话与来源不完全一致，请核对。",
    abstained: "文档中没有答案",
    nearest: "最接近的内容（不是答案）：",
    doubted: "证据不支持这句话：",
    degraded: "模型无法访问：此回答直接摘自文档",
    answeredIn: "{seconds} 秒",
    source: "来源",
    uploading: "上传中",
    queued: "等待中",
    running: "读取中",
    ready: "完成",
    failed: "失败",
    remove: "删除",
    removeNamed: "删除《{title}》",
    reallyRemove: "确定删除？",
    reallyRemoveNamed: "确定删除《{title}》？",
    openDocument: "显示《{title}》的文本",
    chunks: "{count} 段",
    lost: "连接中断，请重新提问。",
    unreachable: "无法连接服务器。",
    widgetTitle: "问答",
    widgetWelcome: "请提问。每个回答都会标出所依据的句子：点击编号即可查看。",
    closeChat: "关闭对话",
    truncatedText: "只显示一部分；文档共有 {count} 个字符。",
    // The server gives its reasons in English: these stand before them.
    fault_corrupt_document: "文件已损坏，无法读取。",
    fault_unreadable_file: "文件无法读取。",
    fault_unsupported_format: "不支持这种格式。",
    fault_encrypted_document: "文件已加密，请先去掉密码。",
    fault_empty_document: "文件是空的，没有可用的内容。",
    fault_no_text: "文件中没有可提取的文字。",
    fault_too_large: "文件太大，请拆分。",
    fault_too_many_pages: "页数太多，请拆分。",
    fault_decompression_limit: "解压后的内容太大。",
    fault_parser_timeout: "读取文件用时太长。",
    fault_parser_memory: "读取文件需要的内存太多，请拆分。",
    fault_parser_crashed: "读取文件时出错，请另存为其他格式。",
    fault_quota_exceeded: "已超出配额。",
    fault_overloaded: "服务器繁忙，请稍后再试。",
    fault_body_too_large: "文件超过服务器允许的大小。",
    fault_symlink: "这是符号链接，不会读取。",
    fault_url_forbidden: "不允许读取此网址。",
    fault_url_status: "该网址没有返回可用的网页。",
    fault_url_too_large: "网页太大，请下载后再添加。",
    fault_url_unreachable: "无法访问该网址。",
    fault_storage_full: "服务器的存储空间已满。",
    fault_storage_unavailable: "服务器的存储暂时不可用。",
    fault_worker_crashed: "处理此文件时服务器的进程中断。",
    fault_request_timeout: "上传用时太长，请重试。",
    fault_forbidden: "此密钥无权执行该操作。",
    fault_not_ready: "服务器尚未就绪，请稍后再试。",
    fault_shutting_down: "服务器正在关闭，请稍后再试。",
    fault_internal_error: "服务器内部出错。",
    fault_invalid_json: "JSON 格式有误。",
    fault_bad_vectors: "编码器给出的结果无法使用。",
  },
};

let language = remembered() || (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");

/** The language chosen in this tab; browsers may refuse a frame of another site its storage. */
function remembered() {
  try {
    return sessionStorage.getItem("fovea-language");
  } catch {
    return null;
  }
}

/** Speak one of the languages from now on; another name changes nothing. */
export function useLanguage(name) {
  if (Object.hasOwn(WORDS, name)) language = name;
}

export function t(name, values = {}) {
  const words = WORDS[language];
  const form = values.count === "1" && `${name}_one` in words ? `${name}_one` : name;
  return words[form].replace(/\{(\w+)\}/g, (whole, key) => (key in values ? String(values[key]) : whole));
}

/** Why something failed: in the page's words where it has some, then in the server's. */
export function reasonOf({ code, message }) {
  if (code === undefined) return t("unreachable"); // no answer of the server: fetch itself failed
  if (code === "lost") return t("lost");
  return [WORDS[language][`fault_${code}`], message].filter(Boolean).join(" ");
}

export function number(value) {
  return new Intl.NumberFormat(language === "zh" ? "zh-CN" : "en").format(value);
}

const drawings = new WeakMap(); // element → what writes its words

/** Write an element's words now, and again in each language chosen while it is shown. */
export function draw(element, write) {
  drawings.set(element, write);
  element.dataset.drawn = "";
  write();
}

/** Write the words into every element that names one, or was drawn. */
export function translate(root = document) {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of root.querySelectorAll("[data-placeholder]")) element.placeholder = t(element.dataset.placeholder);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  for (const element of root.querySelectorAll("[data-drawn]")) drawings.get(element)();
}

export function switchLanguage() {
  language = language === "zh" ? "en" : "zh";
  sessionStorage.setItem("fovea-language", language);
  translate();
}
