// Event: what each consumer did with it, its headers, and its body, masked until it is revealed.

import { ago, button, cut, dialog, duration, eventLink, h, link, moment, note, number, plural, server, since, swap, table, toast } from "./base.js";
import { change, stateChip } from "./events.js";
import { curl, difference, lines, readable } from "./json.js";

const MOST = 5000; // lines

export default async function event(view) {
  const { id, body, signal, heading } = view;
  const path = (id) => "events/" + encodeURIComponent(id);
  const get = (id) => server.get(path(id), {}, signal);
  const reveal = (id) => server.post(path(id) + "/reveal", {}, signal);
  let data;
  let revealed; // the body as Meta sent it, if it was revealed
  let before; // the body of the event before it, if they are compared
  let asSent = false;

  async function load() {
    data = await get(id);
    const others = ({ consumer }) => consumer !== view.parameters.consumer;
    data.consumers.sort((a, b) => others(a) - others(b));
    draw();
  }
  const text = () => revealed ?? data.body ?? "";

  // set reveals what is shown, or masks it, and compares it or not.
  async function set(reveals, compares) {
    const masked = compares && !reveals ? (await get(data.previous)).body : undefined;
    revealed = reveals ? revealed ?? (await reveal(id)).body : undefined;
    before = compares && reveals ? (await reveal(data.previous)).body : masked;
    draw();
  }
  const isRevealed = () => revealed !== undefined;
  const isCompared = () => before !== undefined;

  async function act(what, consumers) {
    if (!await change(view, what, { items: consumers.map(({ consumer }) => ({ id, consumer })) })) return;
    await load().catch(() => { location.hash = link("events"); }); // it was discarded
  }
  view.keys.r = () => act("retry", data.consumers);
  view.keys.Escape = () => {
    if (isRevealed()) set(false, isCompared());
    else if (view.first) location.hash = link("events");
    else history.back();
    return true;
  };

  function draw() {
    const [e] = data.consumers;
    swap(heading, e.field, " ", h("span", { class: "id" }, id));
    swap(body,
      data.blocked_by && h("p", { class: "status bad" }, h("strong", {}, "Waits for an earlier event"), h("a", { href: eventLink(data.blocked_by) }, data.blocked_by)),
      e.erased && h("p", { class: "status erased" }, h("strong", {}, "Erased"), " ", moment(e.erased), ": ", e.erased_because,
        ". It has no body any more, and nobody gets it."),
      facts(e),
      h("div", { class: "cards" }, data.consumers.map((c) => consumer(view, c, act))),
      !e.erased && h("section", { class: "card" },
        h("div", { class: "bar" }, h("h2", {}, "Body"),
          note(isRevealed() ? "Revealed to you, and the log says so." : "What people wrote, their names and links are masked."),
          h("span", { class: "spacer" }),
          button(isRevealed() ? "Mask" : "Reveal", () => set(!isRevealed(), isCompared()), { "data-key": "reveal" }),
          button(asSent ? "Formatted" : "As sent", () => { asSent = !asSent; draw(); }, { "data-key": "as sent" }),
          data.previous && button(isCompared() ? "Do not compare" : "Compare with the one before", () => set(isRevealed(), !isCompared()), { "data-key": "compare" }),
          button("Copy as curl", () => copy(e.url, data.headers ?? [], text(), isRevealed()), { "data-key": "curl" })),
        h("pre", { tabindex: 0, "aria-label": "Body" }, data.binary ? "It is not text." : asSent ? text() : layOut(text()))),
      isCompared() && h("section", { class: "card" },
        h("h2", {}, "What differs from the event before it, ", h("a", { href: eventLink(data.previous) }, data.previous)),
        h("pre", { tabindex: 0, "aria-label": "Differences" }, compared(before, text()))),
      !e.erased && h("details", { class: "card" }, h("summary", {}, h("h2", {}, "Headers as they will be sent")),
        h("dl", { class: "headers" }, data.headers?.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))))));
  }
  await load();
}

function facts(e) {
  const fact = (name, value, to) => value && h("div", { class: to === "wide" && to }, h("dt", {}, name),
    h("dd", { class: to && "id" }, to && to !== "wide" ? h("a", { href: link("events", { [to]: value }) }, value) : value));
  return h("dl", { class: "card facts" },
    fact("Accepted", [moment(e.accepted), " ", note(ago(e.accepted))]),
    fact("Account", e.account, "account"),
    fact("Conversation", e.order, "conversation"),
    fact("Signed with", e.app_secret),
    fact("Size", number(e.size) + " bytes"),
    fact("Came to", e.url, "wide"),
    fact("Identity", e.identity, "wide"));
}

function consumer(view, c, act) {
  const columns = [
    { name: "Ended", cell: (a) => moment(a.ended) },
    { name: "Took", class: "right", cell: (a) => duration(a.took) },
    { name: "Status", class: "right", cell: (a) => a.status ? String(a.status) : "none" },
    { name: "Error and answer", class: "grow", cell: (a) => [
      a.error && h("div", { class: "error" }, a.error),
      (a.answer || a.answer_base64) && h("div", { class: "answer" }, a.answer ?? "not text")] },
  ];
  const does = (what, label) => view.may(what) &&
    button(label, () => act(what, [c]), { "data-key": what + c.consumer, "aria-label": `${label} for ${c.consumer}` });
  return h("section", { class: "card consumer", "aria-label": "Consumer " + c.consumer },
    h("h2", {}, cut(c.consumer), stateChip(c), !c.erased && does("retry", "Retry…"), does("discard", "Discard…")),
    note(plural(c.attempts, "attempt"),
      c.settled && [", the last ", ago(c.settled)],
      c.requeued && [", requeued ", ago(c.requeued)],
      c.due && since(c.due) < 0 && `, the next in ${duration(-since(c.due))}`),
    c.history?.length ? table("Attempts for " + c.consumer, columns, c.history.toReversed())
      : c.last_error && h("p", { class: "error" }, c.last_error));
}

// layOut shows a body: JSON with one value a line, and what is not JSON as it is.
function layOut(text) {
  const all = lines(text);
  return all ? [
    all.slice(0, MOST).map((line) => h("span", { class: "line" },
      line.map(([kind, token]) => kind ? h("span", { class: kind }, kind === "string" ? readable(token) : token) : token), "\n")),
    all.length > MOST && `… and ${number(all.length - MOST)} more lines, as sent.`,
  ] : text;
}

function compared(before, after) {
  const flat = (text) => lines(text)?.map((line) => line.map(([, token]) => token).join("")) ?? text.split("\n");
  const kinds = { "-": "line removed", "+": "line added", " ": "line" };
  return difference(flat(before), flat(after))?.map(([sign, line]) => h("span", { class: kinds[sign] }, sign, " ", readable(line), "\n"))
    ?? "They are too long to be compared here.";
}

async function copy(url, headers, body, isRevealed) {
  const command = curl(url, headers, body);
  if (!command) return toast("The body has characters that a terminal would obey. Use caddy instagram queue show.", "error");
  const area = h("textarea", { readonly: true, rows: 12, "aria-label": "Command", spellcheck: "false" }, command);
  const told = h("span", { role: "status" });
  const box = dialog("Copy as curl", area,
    note(!isRevealed && "It is masked: reveal the event first to copy what people wrote. ", "IG_APP_SECRET must be the app secret. ", told),
    h("p", { class: "actions" }, button("Close", () => box.close())));
  area.select();
  told.textContent = await navigator.clipboard?.writeText(command).then(() => "Copied.", () => "") || "Press Ctrl+C to copy it.";
}
