// Live: what happens, as it happens. Whatever comes, only so many rows are kept.

import { address, button, chip, cut, duration, empty, eventLink, h, link, moment, note, number, plural, swap, table, tableRow } from "./base.js";

const MOST = 200; // rows
const EVERY = 250; // milliseconds between two changes of the page
const AGAIN = 5000; // milliseconds until a refused stream is tried again
const KINDS = { delivery: "Deliveries", refusal: "Refusals", attempt: "Attempts" };

const failed = (e) => e.kind === "refusal" || e.error || e.status >= 300;

const columns = [
  { name: "Time", class: "time", cell: (e) => h("a", { href: target(e) }, moment(e.time)) },
  { name: "What", cell: (e) => chip(failed(e) ? "dead" : e.kind === "attempt" ? "delivered" : "flight", e.kind) },
  { name: "Status", class: "right", cell: (e) => e.status },
  { name: "Detail", class: "grow", cell: (e) => cut(detail(e)) },
  { name: "Field", cell: (e) => cut(e.field) },
  { name: "Account", class: "id", cell: (e) => cut(e.account) },
  { name: "Consumer", cell: (e) => cut(e.consumer) },
  { name: "Took", class: "right", cell: (e) => e.took && duration(e.took) },
  { name: "Event", class: "id right", cell: (e) => e.id },
];

function target(e) {
  if (e.id) return eventLink(e.id, e.consumer, e.store);
  return e.kind === "refusal" ? link("refusals", { reason: e.reason }) : link("events", { account: e.account });
}

const detail = (e) =>
  [e.events && plural(e.events, "event"), e.attempt > 1 && "attempt " + e.attempt, e.reason, e.error, e.client_ip].filter(Boolean).join(" · ");

export default function live(view) {
  const { body, signal } = view;
  const start = moment(new Date().toISOString());
  const kinds = new Set(Object.keys(KINDS));
  const waiting = []; // the newest that are not shown yet
  let skipped = 0; // how many of those that waited were let go
  let seen = 0;
  let missed = 0;
  let paused = false;
  let hovered = false;
  let onlyFailed = false;
  let connection = "Connecting…";
  let source;
  let timer;
  let again;

  const box = (label, checked, set) => h("label", { class: "check" },
    h("input", { type: "checkbox", checked, onchange: (e) => set(e.target.checked) }), label);
  const toggle = button("Pause", () => {
    if (stopped()) return goOn();
    paused = true;
    flush();
  }, { class: "primary" });
  const counts = note();
  const state = h("span", { class: "connection", role: "status" });
  const rows = table("What happened, the newest first", columns, []);
  const list = rows.querySelector("tbody");
  const none = empty("Nothing yet", "Deliveries, refusals and attempts appear here as they happen, without what people wrote.");
  rows.hidden = true;
  list.onpointerenter = (e) => { hovered = e.pointerType === "mouse"; };
  list.onpointerleave = () => { hovered = false; };
  swap(body, h("div", { class: "bar" }, toggle,
    Object.entries(KINDS).map(([kind, label]) => box(label, true, (on) => on ? kinds.add(kind) : kinds.delete(kind))),
    box("Failures only", false, (on) => { onlyFailed = on; }),
    h("span", { class: "spacer" }), counts, state), none, rows);

  // stopped reports whether no row may move: perhaps somebody reads one.
  const stopped = () => paused || hovered || scrollY > 200 || list.contains(document.activeElement) ||
    list.contains(getSelection().anchorNode) && !getSelection().isCollapsed;

  function goOn() {
    paused = hovered = false;
    getSelection().removeAllRanges();
    if (list.contains(document.activeElement)) document.activeElement.blur();
    scrollTo(0, 0);
    flush();
    return true;
  }
  view.keys.Escape = goOn;

  function flush() {
    clearTimeout(timer);
    timer = undefined;
    const still = stopped();
    if (!still && waiting.length) {
      list.prepend(...waiting.splice(0).reverse().map((e) => tableRow(columns, e)));
      while (list.childElementCount > MOST) list.lastChild.remove();
      skipped = 0;
      rows.hidden = false;
      none.hidden = true;
    }
    const held = waiting.length + skipped;
    toggle.textContent = still ? "Go on" : "Pause";
    state.textContent = still ? (paused ? "Paused" : "Paused while you read") + (held ? `: ${number(held)} new` : "") : connection;
    state.className = "connection " + (still ? "paused" : connection === "Connected" ? "" : "lost");
    swap(counts, `${number(seen)} since `, start, skipped > 0 && ` · ${number(skipped)} too many to keep`,
      missed > 0 && ` · ${number(missed)} missed, as this page was too slow`);
    if (still) timer = setTimeout(flush, 1000); // nothing tells when the reading ends
  }
  const soon = () => { timer ??= setTimeout(flush, EVERY); };

  function take(kind, e) {
    if (kind === "missed") missed += e.missed;
    else {
      seen++;
      e.kind = kind;
      if (kinds.has(kind) && (!onlyFailed || failed(e)) && waiting.push(e) > MOST) {
        waiting.shift();
        skipped++;
      }
    }
    soon();
  }

  function connect() {
    source = new EventSource(address("live"));
    source.onopen = () => { connection = "Connected"; soon(); };
    source.onerror = () => {
      connection = "Connection lost. Trying again…";
      if (source.readyState === EventSource.CLOSED) {
        connection = "Refused, perhaps since 16 others look. Trying again…";
        again = setTimeout(connect, AGAIN);
      }
      soon();
    };
    for (const kind of [...kinds, "missed"]) source.addEventListener(kind, (e) => take(kind, JSON.parse(e.data)));
  }
  connect();
  flush();
  signal.addEventListener("abort", () => {
    source.close();
    clearTimeout(again);
    clearTimeout(timer);
  });
}
