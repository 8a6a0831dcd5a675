// The widget's loader: a page includes this script with its publishable key and gets a button that opens the chat.
//
//   <script src="https://fovea.example.org/static/widget.js" data-key="fv_pub…" async></script>
//
// The chat runs in a sandboxed frame of the Fovea server. This script never sees what is asked or answered, and nothing
// that an answer holds can reach the page: both sides only tell each other "ready", "open" and "close".

(() => {
  "use strict";
  const script = document.currentScript;
  const KEY = /^fv_(pub[0-9a-f]{12})_[0-9a-f]{64}$/;
  const WORDS = { en: { open: "Ask a question", title: "Questions and answers" }, zh: { open: "提问", title: "问答" } };

  const { key = "", title = "", side = "right", language = "" } = script?.dataset || {};
  const id = KEY.exec(key)?.[1];
  if (!script || !id) {
    console.error("Fovea: data-key must hold a publishable key (fv_pub…); the widget is not shown.");
    return;
  }
  if (window.fovea) return; // included twice

  const server = new URL(script.src).origin;
  const spoken = (language || document.documentElement.lang || navigator.language).toLowerCase();
  const chosen = spoken.startsWith("zh") ? "zh" : "en";
  const STYLE = `
    :host { all: initial; }
    button, iframe { position: fixed; z-index: 2147483000; ${side === "left" ? "left" : "right"}: 20px; }
    button { bottom: 20px; width: 56px; height: 56px; border: 0; border-radius: 50%; cursor: pointer; color: #fff;
      background: #2f6f6b; box-shadow: 0 4px 16px rgb(0 0 0 / 25%); font: 600 24px/56px system-ui, sans-serif; }
    button:hover { background: #245854; }
    button:focus-visible { outline: 3px solid #d9822b; outline-offset: 3px; }
    iframe { bottom: 88px; width: min(400px, calc(100vw - 40px)); height: min(620px, calc(100vh - 110px)); border: 0;
      border-radius: 16px; box-shadow: 0 8px 40px rgb(0 0 0 / 30%); background: #faf8f3; color-scheme: light dark; }
    iframe[hidden] { display: none; }
    @media (max-width: 30rem) {
      iframe { inset: 0; width: 100vw; height: 100dvh; border-radius: 0; }
    }
  `;

  const host = document.createElement("div");
  const shadow = host.attachShadow({ mode: "closed" });
  const sheet = new CSSStyleSheet(); // a page's own style policy does not concern it
  sheet.replaceSync(STYLE);
  shadow.adoptedStyleSheets = [sheet];

  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "?";
  button.setAttribute("aria-label", WORDS[chosen].open);
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-haspopup", "dialog");
  button.addEventListener("click", () => (frame && !frame.hidden ? close() : open()));
  shadow.append(button);

  let frame = null; // made at the first opening: a page that nobody asks costs nothing
  let ready = false;

  function makeFrame() {
    const settings = new URLSearchParams({ key, title, language: chosen, page: location.origin });
    const made = document.createElement("iframe");
    made.title = title || WORDS[chosen].title;
    made.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms");
    made.referrerPolicy = "no-referrer";
    // Behind "#" nothing is sent: the key stands in no server's log.
    made.src = `${server}/widget/${id}#${settings}`;
    shadow.append(made);
    return made;
  }

  function tell(word) {
    if (ready) frame.contentWindow.postMessage({ fovea: word }, server);
  }

  function open() {
    frame ??= makeFrame();
    frame.hidden = false;
    button.setAttribute("aria-expanded", "true");
    tell("open");
  }

  function close() {
    if (!frame || frame.hidden) return;
    frame.hidden = true;
    button.setAttribute("aria-expanded", "false");
    button.focus();
  }

  addEventListener("message", (event) => {
    if (event.origin !== server || !frame || event.source !== frame.contentWindow) return;
    if (event.data?.fovea === "ready") {
      ready = true;
      if (!frame.hidden) tell("open");
    } else if (event.data?.fovea === "close") {
      close();
    }
  });
  addEventListener("keydown", (event) => event.key === "Escape" && close());

  window.fovea = Object.freeze({ open, close });
  if (document.body) document.body.append(host);
  else addEventListener("DOMContentLoaded", () => document.body.append(host));
})();
