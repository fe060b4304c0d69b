// Events: a list with filters, and what can be done with many of them: retries and discards.

import { button, chip, cut, dialog, duration, empty, eventLink, h, link, moment, note, number, plural, server, since, swap, table, toast } from "./base.js";

const LIMIT = 50;
const TEXTS = { id: "begins with", field: "messages", account: "", conversation: "", since: "24h, 7d or a time" };
const FLAGS = { failed: "Failed before", test: "Of the Test button", echo: "Echoes" };

const count = (events) => new Set(events.map((e) => e.id)).size;
const keyOf = (e) => e.id + " " + e.consumer;

export default async function events(view) {
  const { body, signal, about } = view;
  const names = [...new Set((about.stores ?? []).flatMap((s) => s.consumers ?? []).map((c) => c.consumer))];
  const fields = [...new Set((about.accounts ?? []).map((a) => a.field))];
  const may = view.may("retry") || view.may("discard");
  const selected = new Map();
  const top = h("div", {});
  const result = h("div", { class: "result" });
  const tools = h("div", { class: "tools", role: "group", "aria-label": "Selection" });
  let parameters;
  let shown = [];
  let all = false; // are all that match selected, and not only those that are shown?

  view.update = (now) => {
    parameters = now;
    swap(top, filters(now, names, fields));
    select();
    return load();
  };

  let newest; // the last request: an older answer must not replace its answer
  async function load() {
    newest?.abort();
    const mine = newest = new AbortController();
    const most = parameters.consumer ? LIMIT : Math.ceil(LIMIT / Math.max(1, names.length - 2));
    let { before } = parameters;
    let found = [];
    result.ariaBusy = "true";
    try {
      do { // an answer has what was found within a moment
        const answer = await server.get("events", { ...parameters, before, limit: most - count(found) }, AbortSignal.any([signal, mine.signal]));
        shown = found = [...found, ...answer.events];
        before = answer.next;
        draw(before);
      } while (before && count(found) < most);
    } catch (error) {
      if (error.name === "AbortError") return;
      swap(result, h("p", { class: "failure", role: "alert" }, error.message));
    }
    result.ariaBusy = null;
  }

  function draw(next) {
    const columns = [
      may && { class: "pick", head: pickbox("Select all here", "all", (on) => select(on ? shown : [])),
        cell: (e) => pickbox("Select event " + e.id, keyOf(e), (on) => pick(e, on)) },
      { name: "Accepted", class: "time", cell: (e) => h("a", { href: eventLink(e.id, e.consumer), "data-key": "see " + keyOf(e) }, moment(e.accepted)) },
      { name: "State", cell: (e) => [stateChip(e), e.attempts > 1 && note(` ${e.attempts}×`)] },
      { name: "Field", cell: (e) => cut(e.field) },
      (names.length > 1 || shown.some((e) => e.consumer !== names[0])) && { name: "Consumer", cell: (e) => cut(e.consumer) },
      { name: "Account", class: "id", cell: (e) => cut(e.account) },
      { name: "Conversation", class: "id", cell: (e) => cut(e.order?.replace(e.account + "/", "")) },
      { name: "After", class: "right", cell: after },
      { name: "Last error", class: "grow", cell: (e) => cut(e.last_error) },
      { name: "Id", class: "id right", cell: (e) => e.id },
    ];
    const { before, ...first } = parameters;
    swap(result,
      shown.length ? table("Events, the newest first", columns.filter(Boolean), shown) : next ? note("Searching…") : nothing(first),
      h("p", { class: "pages" }, before && h("a", { href: link("events", first) }, "← Newest"), h("span", { class: "spacer" }),
        button("Refresh", load, { "data-key": "refresh" }),
        next && h("a", { href: link("events", { ...first, before: next }) }, "Older →")));
    select(shown.filter((e) => selected.has(keyOf(e))));
  }
  const pickbox = (label, key, set) =>
    h("input", { type: "checkbox", "aria-label": label, "data-key": key, onchange: (e) => set(e.target.checked) });

  function pick(e, on) {
    selected.delete(keyOf(e));
    select([...selected.values(), ...on ? [e] : []]);
  }

  // select selects events, and nothing else.
  function select(these = [], match = false) {
    all = match;
    selected.clear();
    for (const e of these) selected.set(keyOf(e), e);
    [...result.querySelectorAll("tbody tr")].forEach((row, i) => {
      const on = selected.has(keyOf(shown[i]));
      row.classList.toggle("selected", on);
      if (may) row.querySelector("input").checked = on;
    });
    const whole = selected.size > 0 && selected.size === shown.length;
    const head = result.querySelector("thead input");
    if (head) {
      head.checked = whole;
      head.indeterminate = selected.size > 0 && !whole;
    }
    tools.hidden = !selected.size;
    swap(tools,
      h("span", { role: "status" }, all ? "All that match are selected." : plural(selected.size, "row") + " selected."),
      whole && !all && (parameters.state
        ? button("Select all that match", () => select(shown, true), { "data-key": "match" })
        : note("To select all that match, choose a state.")),
      h("span", { class: "spacer" }),
      view.may("retry") && button("Retry…", () => act("retry"), { class: "primary", "data-key": "retry" }),
      view.may("discard") && button("Discard…", () => act("discard"), { class: "danger", "data-key": "discard" }),
      button("Clear", () => select(), { "data-key": "clear" }));
  }

  async function act(what, items = [...selected.values()]) {
    const { before, ...of } = parameters;
    const words = Object.entries(of).map(([name, value]) => name + ": " + value).join(" · ");
    if (await change(view, what, all ? { parameters: of, words } : { items })) {
      select();
      await load();
    }
  }

  view.keys.x = (row) => {
    const e = row && shown[row.sectionRowIndex];
    if (e && may) pick(e, !selected.has(keyOf(e)));
  };
  view.keys.r = (row) => {
    if (selected.size) act("retry");
    else if (row) act("retry", [shown[row.sectionRowIndex]]);
  };
  view.keys.Escape = () => {
    const some = selected.size > 0;
    select();
    return some;
  };
  swap(body, top, result, tools);
  await view.update(view.parameters);
}

export function stateChip(e) {
  if (e.in_flight) return chip("flight", "in flight");
  if (e.erased) return chip("erased", e.state === "erased" ? "erased" : e.state + ", erased");
  return chip(e.state, e.lane && e.lane !== "live" ? e.lane : e.state);
}

// after is how long it took until the event was settled, or how long it has waited.
const after = (e) => e.settled
  ? duration((Date.parse(e.settled) - Date.parse(e.requeued ?? e.accepted)) / 1000)
  : duration(Math.max(1, since(e.accepted)));

function nothing({ state, ...rest }) {
  if (Object.keys(rest).length) return empty("No event matches", h("a", { href: link("events", { state }) }, "Clear the filters"));
  return empty(state ? "No event is " + state : "No events", "What Meta delivers appears here, as long as it is kept.");
}

// filters is what stands above the list. It is in the address of the page.
function filters({ before, ...now }, names, fields) {
  const apply = (e) => {
    e.preventDefault();
    location.hash = link("events", { state: now.state, cause: now.cause, ...Object.fromEntries(new FormData(form)) });
  };
  const used = Object.keys(now).filter((name) => name !== "state").length;
  const form = h("form", { class: "filters", role: "search", onsubmit: apply, onchange: apply },
    Object.entries(TEXTS).map(([name, placeholder]) => h("label", {}, name,
      h("input", { name, value: now[name], placeholder, "data-key": name, list: name === "field" && "fields", autocomplete: "off", spellcheck: "false" }))),
    h("datalist", { id: "fields" }, fields.map((value) => h("option", { value }))),
    names.length > 1 && h("label", {}, "consumer", h("select", { name: "consumer", "data-key": "consumer" },
      ["", ...names].map((n) => h("option", { value: n, selected: now.consumer === n }, n || "all")))),
    h("div", { class: "flags" }, Object.entries(FLAGS).map(([name, label]) => h("label", { class: "check" },
      h("input", { type: "checkbox", name, value: 1, checked: now[name] === "1", "data-key": name }), label))),
    h("button", { class: "unseen" }, "Filter"));
  return [
    h("nav", { class: "tabs", "aria-label": "State" }, ["", "pending", "delivered", "dead", "erased"].map((state) => h("a", {
      href: link("events", { ...now, state }), "aria-current": (now.state ?? "") === state && "true", "data-key": "state " + state,
    }, state || "all"))),
    now.cause && h("p", { class: "target" }, "cause: ", now.cause, " ", h("a", { href: link("events", { ...now, cause: "" }) }, "any cause")),
    h("details", { open: used > 0 || innerWidth > 760 }, h("summary", {}, used ? plural(used, "filter") : "Filters"), form),
  ];
}

const consequences = {
  retry: "Each is delivered again, with the same Idempotency-Key, after the events that are new.",
  discard: "What is discarded is gone for good. Events that are being delivered at this moment stay.",
};
const done = { retry: "will be delivered again.", discard: "discarded." };

// change asks for a confirmation and does it. The target has items, each with an id and a consumer,
// or the parameters of a selection. It reports whether something may have been done.
export async function change(view, what, target) {
  if (!view.may(what)) {
    toast(`You may only look: the config does not allow ${what} here.`, "error");
    return false;
  }
  const slow = target.items ? 0 : setTimeout(() => toast("Counting…"), 500);
  const count = target.items?.length ??
    await selected(what, { ...target.parameters, dry_run: 1 }, view.signal).finally(() => clearTimeout(slow));
  if (count) return confirm(what, target, count);
  toast("No event is left to " + what + ".");
  return false;
}

// selected does it, or counts, page by page.
async function selected(what, parameters, signal, told) {
  let n = 0;
  let before;
  do {
    const answer = await server.post(what, { ...parameters, before }, signal);
    before = answer.before;
    n += answer.events;
    told?.(n);
  } while (before);
  return n;
}

async function each(what, items, rate, signal, told) {
  let n = 0;
  for (const { id, consumer } of items) {
    await server.post(`events/${encodeURIComponent(id)}/${what}`, { consumer }, signal).then(() => told(++n), (error) => {
      if (!signal.aborted) toast(`Event ${id} stayed: ${error.message}`, "error");
    });
    if (signal.aborted) break;
    if (rate && id !== items.at(-1).id) await new Promise((resolve) => setTimeout(resolve, 1000 / rate));
  }
  return n;
}

const confirm = (what, { items, parameters, words }, count) => new Promise((resolve) => {
  const paced = what === "retry" && count > 1;
  const rate = h("input", { type: "number", id: "rate", min: .001, max: 100000, step: "any", value: 10, required: true });
  const takes = note();
  const estimate = () => {
    takes.textContent = " a second" + (rate.validity.valid ? ": takes " + duration(count / rate.value) : "");
  };
  rate.addEventListener("input", estimate);
  estimate();

  const stop = new AbortController();
  const progress = h("p", { class: "note", role: "status" });
  const go = h("button", { class: what === "discard" ? "danger" : "primary" }, what === "retry" ? "Retry" : "Discard");
  const cancel = button("Cancel", () => box.close());
  let begun = false;
  const onsubmit = async (e) => {
    e.preventDefault();
    begun = go.disabled = rate.disabled = true;
    cancel.textContent = "Stop";
    const told = (n) => { progress.textContent = `${number(n)} of ${number(count)}`; };
    const speed = paced && rate.value;
    try {
      const n = await (items ? each(what, items, speed, stop.signal, told)
        : selected(what, { ...parameters, rate: speed }, stop.signal, told));
      toast(`${plural(n, "event")} ${done[what]}`);
    } catch (error) {
      if (!stop.signal.aborted) toast(error.message, "error");
    }
    box.close();
  };
  const box = dialog(go.textContent + ` ${plural(count, "event")}?`, h("form", { onsubmit },
    words && h("p", { class: "target" }, words),
    h("p", {}, consequences[what]),
    paced && h("p", {}, h("label", { for: "rate" }, "At "), rate, takes),
    progress,
    h("p", { class: "actions" }, cancel, go)));
  box.addEventListener("close", () => {
    stop.abort();
    resolve(begun);
  });
  (what === "discard" ? cancel : go).focus();
});
