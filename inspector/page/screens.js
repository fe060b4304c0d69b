// The screens that are read from top to bottom: overview, dead letters by cause, refusals, and the
// check of a callback URL.

import {
  ago, button, chip, cut, duration, empty, eventLink, h, link, moment, note, number, plural, server, since, swap, table, toast,
} from "./base.js";
import { change } from "./events.js";

const EVERY = 5000; // milliseconds between two overviews
const MOST = 100; // rows of a list

// overview shows whether Caddy accepts, and whether it delivers.
export async function overview(view) {
  const { body, signal } = view;
  const refresh = async () => swap(body, draw(view, await server.get("overview", {}, signal), refresh));
  await refresh();
  let failed = false;
  const timer = setInterval(async () => {
    const reading = body.contains(getSelection().anchorNode) && !getSelection().isCollapsed;
    if (document.hidden || reading) return;
    try {
      await refresh();
      failed = false;
    } catch (error) {
      if (!failed && !signal.aborted) toast(error.message, "error");
      failed = true;
    }
  }, EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function draw(view, { stores, minutes, accounts, app_secrets, expiries }, refresh) {
  minutes ??= {};
  const shown = (stores ?? []).filter((s) => !server.store || s.store === server.store);
  return [
    shown.length ? shown.map(status) : empty("No queue is open", "The running config has no instagram_queue."),
    h("section", { class: "card" }, h("h2", {}, "Deliveries"),
      graph([["accepted", minutes.accepted, "good"], ["refused", minutes.refused, "bad"]], "large")),
    h("div", { class: "cards" }, shown.map((s) => s.consumers?.map((c) => consumer(view, s.store, c, minutes.consumers?.[c.consumer], refresh)))),
    h("div", { class: "cards" },
      section("Last event of each account", "No event came since Caddy started.", accounts, [
        { name: "Account", class: "id", cell: (a) => h("a", { href: link("events", { account: a.account, field: a.field }) }, cut(a.account)) },
        { name: "Field", cell: (a) => cut(a.field) },
        { name: "Last", class: "right", cell: (a) => ago(a.last) },
      ]),
      section("App secrets", "The config has none.", app_secrets, [
        { name: "Name", cell: (s) => cut(s.name) },
        { name: "Matched last", class: "right", cell: (s) => s.last ? ago(s.last) : "not since the start" },
      ], app_secrets?.length > 1 && "One that matches nothing any more can go."),
      section("What expires", "Nothing that is known.", expiries, [
        { name: "What", cell: (e) => EXPIRES[e.what] },
        { name: "Name", cell: (e) => cut(e.name) },
        { name: "When", class: "right", cell: (e) => h("span", { class: e.soon && "bad", title: e.at },
          since(e.at) > 0 ? ago(e.at) : "in " + duration(-since(e.at))) },
      ])),
  ];
}

const EXPIRES = { client_ca: "Meta's CA", certificate: "Certificate", token: "Access token" };

function status({ store, refusing_since, error }) {
  return h("p", { class: refusing_since || error ? "status bad" : "status" },
    h("strong", {}, refusing_since ? ["Refusing deliveries since ", moment(refusing_since)] : error ? "Cannot count" : "Accepting deliveries"),
    note(refusing_since && ago(refusing_since), error), note(store));
}

function consumer(view, store, c, counts = {}, refresh) {
  const name = c.consumer;
  const of = { store, consumer: name };
  const figure = (label, value, screen, parameters) => h("div", {}, h("dt", {}, label),
    h("dd", {}, value && screen ? h("a", { class: label, href: link(screen, { ...of, ...parameters }) }, number(value)) : value ?? "–"));
  const toggle = async () => {
    await server.post(c.paused ? "resume" : "pause", of);
    await refresh();
  };
  const label = c.paused ? "Resume" : "Pause";
  return h("section", { class: "card consumer", "aria-label": "Consumer " + name },
    h("h2", {}, cut(name), c.paused && chip("pending", "paused"), c.in_config === false && chip("dead", "not in the config"),
      view.may("pause") && button(label, toggle, { "data-key": store + name, "aria-label": label + " " + name })),
    h("dl", { class: "figures" },
      figure("pending", c.pending, "events", { state: "pending" }),
      figure("oldest", c.pending && c.oldest && ago(c.oldest).textContent.replace(" ago", "") || "–"),
      figure("in flight", c.in_flight),
      figure("dead", c.dead, "dead")),
    graph([["delivered", counts.delivered, "good"], ["failed", counts.failed, "bad"]]),
    c.last_error && h("p", { class: "error" }, ago(c.last_error.time), ": ", c.last_error.error));
}

function section(title, none, list, columns, words) {
  list ??= [];
  return h("section", { class: "card" }, h("h2", {}, title),
    list.length ? table(title, columns, list.slice(0, 20)) : note(none),
    list.length > 20 && note(`and ${list.length - 20} more`), note(words));
}

const BARS = 144; // of ten minutes
const HEIGHT = 40;

// graph draws the last 24 hours. Each of the series has a name, its counts by the minute, the
// newest last, and a class.
function graph(series, size) {
  const sums = series.map(([, counts]) => {
    const bars = new Array(BARS).fill(0);
    counts?.forEach((n, i) => { bars[BARS - Math.ceil((counts.length - i) / 10)] += n; });
    return bars;
  });
  const most = Math.max(1, ...sums[0].map((_, i) => sums.reduce((n, bars) => n + bars[i], 0)));
  const below = new Array(BARS).fill(HEIGHT);
  const paths = series.map(([, , kind], s) => h("path", {
    class: kind,
    d: sums[s].map((n, i) => {
      const height = n && Math.max(1, n / most * HEIGHT).toFixed(1);
      below[i] -= height;
      return n ? `M${i} ${below[i].toFixed(1)}h.8v${height}h-.8z` : "";
    }).join("") || false,
  }));
  const totals = series.map(([name, , kind], s) => {
    const total = sums[s].reduce((a, n) => a + n, 0);
    return h("span", { class: total && kind }, number(total), " ", name);
  });
  return h("figure", { class: size },
    h("svg", { viewBox: `0 0 ${BARS} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "24 hours: " + totals.map((t) => t.textContent).join(", ") }, paths),
    h("figcaption", {}, h("span", {}, "24 h ago"), totals, h("span", {}, "now")));
}

// dead shows dead letters by cause.
export async function dead(view) {
  const { body, signal } = view;
  let now = view.parameters;
  let causes;

  view.update = async (parameters) => {
    now = parameters;
    const answer = await server.get("dead", now, signal);
    causes = (answer.causes ?? []).slice(0, MOST);
    const count = causes.reduce((n, c) => n + c.count, 0);
    swap(body,
      now.consumer && h("p", { class: "target" }, "consumer: ", now.consumer, " ", h("a", { href: link("dead") }, "any consumer")),
      causes.length ? table("Dead letters by cause", columns, causes)
        : empty("No dead letters", "Events that fail are retried. Those that are given up appear here."),
      causes.length > 0 && note(`${plural(count, "dead letter")} of ${plural(causes.length, "cause")}. `,
        answer.more && `Only the newest ${number(answer.looked_at)} were looked at: there are more.`));
  };

  const selection = ({ consumer, cause }) => ({ state: "dead", consumer, cause });
  const act = async (what, c) => {
    const words = [c.cause, h("br", {}), note("consumer " + c.consumer)];
    if (await change(view, what, { parameters: selection(c), words })) await view.update(now);
  };
  const does = (what, label, c) => view.may(what) && button(label, () => act(what, c), { "aria-label": label + " " + c.cause });
  const columns = [
    { name: "Cause", class: "grow", cell: (c) => h("a", { href: link("events", selection(c)), "data-key": c.consumer + c.cause }, cut(c.cause)) },
    { name: "Consumer", cell: (c) => cut(c.consumer) },
    { name: "Count", class: "right", cell: (c) => number(c.count) },
    { name: "First", class: "right", cell: (c) => ago(c.first) },
    { name: "Last", class: "right", cell: (c) => ago(c.last) },
    { name: "Sample", class: "id right", cell: (c) => h("a", { href: eventLink(c.sample, c.consumer) }, c.sample) },
    { class: "acts", head: h("span", { class: "unseen" }, "Actions"), cell: (c) => [does("retry", "Retry…", c), does("discard", "Discard…", c)] },
  ];
  view.keys.r = (row) => row && act("retry", causes[row.sectionRowIndex]);
  await view.update(now);
}

// refusals shows requests that were turned away, and what to do about each reason.
export async function refusals(view) {
  const { body, signal } = view;
  const columns = [
    { name: "Time", class: "time", cell: (r) => moment(r.time) },
    { name: "Status", class: "right", cell: (r) => r.status },
    { name: "Reason", cell: (r) => h("a", { href: link("refusals", { reason: r.reason }) }, cut(r.reason)) },
    { name: "Address", class: "id", cell: (r) => cut(r.client_ip) },
    { name: "Count", class: "right", cell: (r) => number(r.count ?? 1) },
    { name: "Detail", class: "grow", cell: (r) => cut(r.detail) },
  ];

  view.update = async ({ reason, from }) => {
    const all = (await server.get("refusals", {}, signal)).refusals ?? [];
    const chosen = all.filter((r) => !reason || r.reason === reason);
    const first = Number(from) || 0;
    const page = (at, label) => h("a", { href: link("refusals", { reason, from: at }) }, label);
    swap(body, all.length ? [
      h("ul", { class: "reasons" }, [...Map.groupBy(all, (r) => r.reason)].map(([name, of]) => summary(name, of, name === reason))),
      table("Refusals, the newest first", columns, chosen.slice(first, first + MOST)),
      h("p", { class: "pages" }, first > 0 && page(first - MOST, "← Newer"),
        note("The last 1,000 are kept, without bodies."),
        first + MOST < chosen.length && page(first + MOST, "Older →")),
    ] : empty("No refusals", "No request was turned away since Caddy started."));
  };
  await view.update(view.parameters);
}

function summary(reason, all, current) {
  const count = all.reduce((n, r) => n + (r.count ?? 1), 0);
  return h("li", { class: "card" },
    h("h2", {},
      h("a", { href: link("refusals", { reason: !current && reason }), "aria-current": current && "true", "data-key": reason }, cut(reason)),
      chip("dead", String(all[0].status)), note(number(count), "×, last ", ago(all[0].time))),
    h("p", {}, all[0].advice ?? all[0].detail));
}

const STATUS = { fault: "dead", warning: "pending", ok: "", skipped: "skipped" };

// check examines a callback URL of the running config, and shows first what is wrong.
export async function check(view) {
  const { body, signal } = view;
  const urls = (await server.get("overview", {}, signal)).urls ?? [];
  const told = h("p", { role: "status" }, note("Nothing is delivered, and nothing is changed. It takes up to a minute."));
  const result = h("div", {});
  const columns = [
    { name: "Status", cell: (f) => chip(STATUS[f.status], f.status) },
    { name: "Check", cell: (f) => f.check },
    { name: "Found", class: "grow", cell: (f) => [f.subject && h("strong", {}, f.subject, ": "), f.text, f.advice && h("div", { class: "note" }, f.advice)] },
  ];
  const run = async (url, { target }) => {
    target.disabled = true;
    swap(result);
    swap(told, `Checking ${url} …`);
    try {
      const found = (await server.post("check", { url }, signal)).report.findings;
      const of = Map.groupBy(found, (f) => f.status);
      const sorted = Object.keys(STATUS).map((status) => of.get(status) ?? []);
      swap(told, urls[1] && url + ": ", plural(sorted[0].length, "fault"), ", ", plural(sorted[1].length, "warning"));
      swap(result, h("section", { class: "card findings" }, table("What was found", columns, sorted.flat())));
    } catch (error) {
      swap(told, h("span", { class: "error" }, error.message));
    }
    target.disabled = false;
  };
  swap(body, urls.map((url) => h("div", { class: "bar" }, button("Check now", (e) => run(url, e), { class: "primary", "aria-label": "Check now: " + url }), url)),
    urls.length ? told : empty("Nothing to check", "The running config has no instagram_webhook."), result);
}
