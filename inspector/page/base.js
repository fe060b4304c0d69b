// What all screens build on: elements, words for numbers and times, and the server.

const SVG = ["svg", "path", "line"];

// These would hide other text or change its order, and are shown as escapes. Emoji need U+200D.
const HIDDEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const visible = (text) =>
  String(text).replace(HIDDEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

// h returns an element. What others wrote becomes a text node or the value of an attribute, and
// never markup. Properties that begin with "on" are listeners; what is false or missing is left out.
export function h(tag, properties, ...children) {
  const element = SVG.includes(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : visible(value));
  }
  element.append(...shown(children));
  return element;
}

const shown = (children) => children.flat(9).filter((c) => c || c === 0).map((c) => c instanceof Node ? c : visible(c));

// swap replaces what is in an element and keeps the focus on the same data-key.
export function swap(parent, ...children) {
  const key = parent.contains(document.activeElement) && document.activeElement.dataset.key;
  parent.replaceChildren(...shown(children));
  if (key) [...parent.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key)?.focus({ preventScroll: true });
}

export const button = (label, onclick, properties) => h("button", { type: "button", onclick, ...properties }, label);
export const note = (...words) => h("span", { class: "note" }, words);
export const chip = (kind, label = kind) => h("span", { class: "chip " + kind }, label);
export const empty = (title, ...words) => h("div", { class: "empty" }, h("p", {}, title), h("p", {}, words));

// cut is a text that may be long: it ends with an ellipsis, and is whole in its title.
export const cut = (text) => text && h("span", { class: "cut", title: text }, text);

// table has columns of {name, class, cell(row)}. On a phone its rows become blocks, which would
// take their meaning from a screen reader: hence the roles.
export function table(caption, columns, rows) {
  return h("table", { role: "table" },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" },
      columns.map((c) => h("th", { role: "columnheader", scope: "col", class: c.class }, c.head ?? c.name)))),
    h("tbody", { role: "rowgroup" }, rows.map((row) => tableRow(columns, row))));
}

export const tableRow = (columns, row) => h("tr", { role: "row" },
  columns.map((c) => h("td", { role: "cell", class: c.class, "data-label": c.name }, c.cell(row))));

const format = (options) => new Intl.DateTimeFormat("en-GB", options);
const clock = format({ timeStyle: "medium" });
const day = format({ day: "numeric", month: "short" });

// moment is a time of day, with the date unless that is today.
export function moment(time) {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  return h("time", { datetime: time, title: time }, (today ? "" : day.format(date) + " ") + clock.format(date));
}

export const since = (time) => (Date.now() - Date.parse(time)) / 1000;

export function ago(time) {
  const seconds = Math.floor(since(time));
  return h("span", { title: time }, seconds < 1 ? "now" : duration(seconds) + " ago");
}

// duration writes seconds in the largest unit that fits.
export function duration(seconds) {
  if (seconds < .1) return Math.max(1, Math.round(seconds * 1000)) + " ms";
  if (seconds < 10) return Number(seconds.toFixed(1)) + " s";
  const [unit, size] = [["days", 86400], ["h", 3600], ["min", 60], ["s", 1]].find(([, size]) => seconds >= 2 * size);
  return Math.floor(seconds / size) + " " + unit;
}

export const number = (n) => (n ?? 0).toLocaleString("en");
export const plural = (n, word) => number(n) + " " + word + (n === 1 ? "" : "s");

export function toast(text, kind) {
  const box = h("p", { class: kind }, text);
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), 8000);
}

// dialog shows a modal dialog until it is closed, as Esc does.
export function dialog(title, ...content) {
  const box = h("dialog", { "aria-labelledby": "title" }, h("h2", { id: "title" }, title), content);
  const before = document.activeElement;
  box.addEventListener("close", () => {
    box.remove();
    before.focus({ preventScroll: true });
  });
  document.body.append(box);
  box.showModal();
  return box;
}

const root = Object.assign(new URL("api/", document.baseURI), { username: "", password: "" });

// server is asked for answers. Ids are strings in them, and stay so.
export const server = {
  store: "", // that of the address of the page, if there are several
  get: (path, parameters, signal) => call("GET", path, parameters, signal),
  post: (path, parameters, signal) => call("POST", path, parameters, signal),
};

export function address(path, parameters) {
  const store = /^(overview|live|refusals|check)/.test(path) ? "" : server.store;
  return new URL(path + query({ store, ...parameters }), root);
}

function query(parameters) {
  const given = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  return given.size ? "?" + given : "";
}

async function call(method, path, parameters, signal) {
  const response = await fetch(address(path, parameters), { method, signal, redirect: "manual" }).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("The server cannot be reached.");
  });
  if (response.type === "opaqueredirect") throw new Error("The server asks you to log in again: reload the page.");
  const answer = response.status === 204 ? {} : await response.json().catch(() => undefined);
  if (response.ok && answer) return answer;
  throw Object.assign(new Error(answer?.error ?? `The server answered with status ${response.status}.`), { status: response.status });
}

// link is the address of a screen in this page.
export const link = (screen, parameters) => "#" + screen + query({ store: server.store, ...parameters });
export const eventLink = (id, consumer, store) =>
  link("event/" + encodeURIComponent(id), { consumer, store: server.store && (store ?? server.store) });
