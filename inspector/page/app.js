// The frame of the page: which screen is shown, and the keys.

import { button, dialog, h, link, server, toast } from "./base.js";
import live from "./live.js";
import events from "./events.js";
import event from "./event.js";
import { check, dead, overview, refusals } from "./screens.js";

const screens = {
  overview: ["Overview", overview],
  live: ["Live", live],
  events: ["Events", events],
  event: ["Event", event],
  dead: ["Dead letters", dead],
  refusals: ["Refusals", refusals],
  check: ["Check", check],
};

const element = (id) => document.getElementById(id);
const main = element("main");
let view; // the screen that is shown
let fallback = ""; // the store, if there are several and the address of the page names none
let about; // the first answer of overview: who looks, what is allowed, which consumers there are

async function show() {
  const [, path, id, query] = location.hash.match(/^#?([^/?]*)\/?([^?]*)\??(.*)/);
  const name = Object.hasOwn(screens, path) ? path : "overview";
  const { store = fallback, ...parameters } = Object.fromEntries(new URLSearchParams(query));
  server.store = store;
  navigation(name);
  if (view?.name === name && view.update) return view.update(parameters);

  const [title, screen] = screens[name];
  const stop = new AbortController();
  const mine = {
    name, parameters, id: decodeURIComponent(id), keys: {}, first: !view, stop, signal: stop.signal,
    heading: h("h1", { tabindex: "-1" }, title), body: h("div", { class: "screen" }),
  };
  view?.stop.abort();
  view = mine;
  document.title = title + " – Instagram webhooks";
  main.replaceChildren(mine.heading, mine.body);
  if (!mine.first) {
    scrollTo(0, 0);
    mine.heading.focus({ preventScroll: true });
  }
  try {
    mine.about = about ??= await server.get("overview");
    mine.may = (what) => (about.allow ?? []).includes(what);
    who();
    if (!stop.signal.aborted) await screen(mine);
  } catch (error) {
    if (stop.signal.aborted) return;
    mine.body.replaceChildren(h("div", { class: "failure", role: "alert" }, h("p", {}, error.message),
      button("Try again", () => { view = undefined; show(); })));
  }
}

function navigation(current) {
  const shown = current === "event" ? "events" : current;
  element("screens").replaceChildren(h("ul", {}, Object.entries(screens).filter(([name]) => name !== "event").map(([name, [title]]) =>
    h("li", {}, h("a", { href: link(name), "aria-current": name === shown && "page" }, title)))));
  document.querySelector("header [aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
}

function who() {
  element("user").textContent = about.user ?? "";
  const stores = (about.stores ?? []).map((s) => s.store);
  if (stores.length < 2) return;
  fallback = stores[0];
  server.store ||= fallback;
  const onchange = (e) => {
    server.store = e.target.value;
    location.hash = link(view.name === "event" ? "events" : view.name);
  };
  element("store").replaceChildren(h("select", { "aria-label": "Store", onchange },
    stores.map((s) => h("option", { value: s, selected: s === server.store }, s))));
}

function help() {
  const keys = {
    j: "the next row", k: "the row before", Enter: "open it", x: "select it", r: "retry what is selected, or else this row",
    "/": "filter", Esc: "close, clear the selection, go back", "?": "this help",
  };
  const box = dialog("Keys",
    h("dl", { class: "keys" }, Object.entries(keys).map(([key, does]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, does)])),
    h("p", { class: "actions" }, button("Close", () => box.close())));
}

// move focuses the first link of the next row, or of the one before.
function move(by) {
  const rows = [...main.querySelectorAll("tbody tr:has(a)")];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const to = rows[at < 0 && by < 0 ? rows.length - 1 : Math.max(at + by, 0)];
  to?.querySelector("a").focus();
  to?.scrollIntoView({ block: "nearest" });
}

const keys = {
  j: () => move(1),
  k: () => move(-1),
  "?": help,
  "/": () => {
    const field = main.querySelector("form input");
    if (field) field.closest("details").open = true;
    field?.focus();
  },
  Escape: () => view.keys.Escape?.() || document.activeElement.blur(),
};

addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog")) return;
  if (e.target.matches("input:not([type=checkbox]), select, textarea")) {
    if (e.key === "Escape") e.target.blur();
    return;
  }
  const action = keys[e.key] ?? view.keys[e.key];
  if (!action) return;
  e.preventDefault();
  action(document.activeElement.closest("tbody tr"));
});

addEventListener("hashchange", show);
addEventListener("unhandledrejection", (e) => {
  e.preventDefault();
  if (e.reason?.name !== "AbortError") toast(e.reason?.message ?? "Something failed.", "error");
});
element("help").addEventListener("click", help);
element("skip").addEventListener("click", () => main.focus());
show();
