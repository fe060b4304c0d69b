// Retries and discards: how many events, then whether, then at which rate.

import { button, dialog, duration, h, note, number, plural, server, toast } from "./base.js";

const about = {
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
    h("p", {}, about[what]),
    paced && h("p", {}, h("label", { for: "rate" }, "At "), rate, takes),
    progress,
    h("p", { class: "actions" }, cancel, go)));
  box.addEventListener("close", () => {
    stop.abort();
    resolve(begun);
  });
  (what === "discard" ? cancel : go).focus();
});
