"use strict";
// Keeps the page live. The bot sends its regions as HTML; only what differs is touched, so that focus, typed text,
// open details and scroll positions stay. Without this script the page is complete, only not live.
(() => {
  const root = document.documentElement;
  const outcome = document.getElementById("outcome");
  const born = new WeakMap(); // cards that came after the page, and when: a button that has just moved is not pressed
  const ARM_MS = 700, RETRY_MS = 3000, GOOD_NEWS_MS = 15000, TOO_EARLY_MS = 5000;
  const parse = (html) => new DOMParser().parseFromString(html, "text/html").body;

  const copy = (node) => {
    const made = document.importNode(node, true);
    born.set(made, Date.now());
    return made;
  };
  // When the focused button goes, its card has the focus, and a keyboard goes on from there.
  const keepFocus = (node, change) => {
    const card = node.contains(document.activeElement) ? node.parentElement?.closest("[tabindex]") : null;
    change();
    card?.focus({ preventScroll: true });
  };
  const attributes = (have, want) => {
    for (const { name } of [...have.attributes]) if (name !== "open" && !want.hasAttribute(name)) have.removeAttribute(name);
    for (const { name, value } of want.attributes) if (name !== "open" && have.getAttribute(name) !== value) have.setAttribute(name, value);
  };
  const children = (have, want) => {
    let at = have.firstChild;
    for (const next of want.childNodes) {
      const same = next.id ? [...have.children].find((child) => child.id === next.id) : at && !at.id ? at : null;
      if (!same) {
        have.insertBefore(copy(next), at);
        continue;
      }
      if (same !== at) have.insertBefore(same, at);
      at = same.nextSibling;
      sync(same, next);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      keepFocus(gone, () => gone.remove());
    }
  };
  const sync = (have, want) => {
    if (have.isEqualNode(want)) return;
    if (have.nodeName !== want.nodeName || have.id !== want.id) return keepFocus(have, () => have.replaceWith(copy(want)));
    if (have.nodeType !== Node.ELEMENT_NODE) return void (have.nodeValue = want.nodeValue);
    // What the script itself writes into a moment stays, as long as it is the same moment.
    if (isOurs(have) && have.dateTime === want.dateTime) return;
    attributes(have, want);
    children(have, want);
  };

  // Moments in the reader's own time, and countdowns. Without this they are shown as the server wrote them.
  const isOurs = (node) => node.localName === "time" && (node.hasAttribute("data-countdown") || node.hasAttribute("data-local"));
  const own = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const clockOnly = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const left = (secs) => {
    if (secs <= 0) return "now";
    const [days, hours, minutes] = [Math.floor(secs / 86400), Math.floor(secs / 3600) % 24, Math.floor(secs / 60) % 60];
    const parts = [days && `${days} d`, (days || hours) && `${hours} h`, `${minutes} min`, !days && `${secs % 60} s`];
    return `in ${parts.filter(Boolean).join(" ")}`;
  };
  const tick = () => {
    for (const time of document.querySelectorAll("time[data-countdown]")) {
      time.textContent = left(Math.round((Date.parse(time.dateTime) - Date.now()) / 1000));
    }
    for (const time of document.querySelectorAll("time[data-local]:not([data-shown])")) {
      const isShort = /^\d\d:\d\d$/.test(time.textContent);
      const at = new Date(time.dateTime);
      time.title = `${time.textContent} there, ${time.title}`;
      time.textContent = (isShort ? clockOnly : own).format(at);
      time.dataset.shown = "";
    }
    for (const note of document.querySelectorAll("[data-zone-note]:not([data-shown])")) {
      note.textContent = note.dataset.zoneNote + Intl.DateTimeFormat().resolvedOptions().timeZone + ".";
      note.dataset.shown = "";
    }
  };
  setInterval(tick, 1000);
  tick();

  const listen = () => {
    const source = new EventSource("/live");
    source.onopen = () => (root.dataset.live = "on");
    source.onerror = () => {
      root.dataset.live = "lost";
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
    };
    source.addEventListener("view", (event) => {
      for (const region of parse(JSON.parse(event.data)).children) {
        const have = document.getElementById(region.id);
        if (have) sync(have, region);
      }
    });
  };

  // What came of a form stays until it is dismissed; only what needs no answer goes by itself.
  const show = (nodes, stays_ms) => {
    const shown = [...nodes];
    outcome.replaceChildren(...shown);
    const lasts_ms = stays_ms ?? (outcome.querySelector(".good") && GOOD_NEWS_MS);
    if (lasts_ms) setTimeout(() => outcome.firstChild === shown[0] && outcome.replaceChildren(), lasts_ms);
  };
  // One of the sentences that the page brought along, or the bot's own words in its place.
  const say = (name, { words, stays_ms } = {}) => {
    const made = document.getElementById(name).content.cloneNode(true);
    if (words) made.querySelector("p").textContent = words;
    show(made.childNodes, stays_ms);
  };

  const send = async (form, button) => {
    const body = new URLSearchParams(new FormData(form, button));
    try {
      const answer = await fetch(form.getAttribute("action"), { method: "POST", body, headers: { "Tidegate-Live": "1" } });
      if (!answer.ok) throw new Error(await answer.text());
      show(parse(await answer.text()).childNodes);
      form.reset();
      form.closest("details")?.removeAttribute("open");
    } catch (error) {
      say("lost", { words: error.name === "Error" ? error.message : "" });
    }
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.hasAttribute("data-live")) return;
    event.preventDefault();
    if (form.hasAttribute("aria-busy")) return;
    const isNew = Date.now() - (born.get(form.closest("article")) ?? 0) < ARM_MS;
    if (isNew) return say("early", { stays_ms: TOO_EARLY_MS });
    form.setAttribute("aria-busy", "true");
    await send(form, event.submitter);
    form.removeAttribute("aria-busy");
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-dismiss]")) return;
    event.preventDefault();
    outcome.replaceChildren();
    history.replaceState(null, "", "/");
  });
  if (document.getElementById("releases")) listen();
})();
