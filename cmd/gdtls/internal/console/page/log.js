// The log: the latest events, of which those are shown that the filter lets through.

import { announce } from "./announce.js";
import { byId, make, onFrame, setText } from "./dom.js";
import { clock, exact, many } from "./format.js";

const kept = 5000; // events
const shown = 1000; // lines
const levels = { error: "Error", warning: "Warning", info: "Information", message: "Message" };

export class Log {
  #events = []; // the oldest first
  #fresh = []; // not drawn yet
  #counts = { error: 0, warning: 0, info: 0, message: 0 };
  #dropped = 0;
  #paused = false;
  #follows = true;
  #unseen = { all: 0, error: 0 }; // since the last announcement
  #lines = byId("log-lines");
  #draw = onFrame(() => this.#drawFresh());

  constructor() {
    const filter = onFrame(() => this.#drawAll());
    byId("log-controls").addEventListener("input", filter);
    byId("log-controls").addEventListener("submit", (e) => e.preventDefault());
    byId("log-pause").addEventListener("click", () => this.#pause(!this.#paused));
    byId("log-newest").addEventListener("click", () => this.#follow(true));
    this.#lines.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#lines;
      this.#follow(scrollHeight - scrollTop - clientHeight < 24, false);
    }, { passive: true });
    this.#lines.addEventListener("click", (e) => this.#toggle(e));
  }

  /** Forgets everything: another server is there. */
  clear() {
    this.#events = [];
    this.#fresh = [];
    this.#dropped = 0;
    for (const level in this.#counts) {
      this.#counts[level] = 0;
    }
    this.#drawAll();
  }

  add({ events, dropped }) {
    this.#dropped += dropped;
    for (const event of events) {
      this.#events.push(event);
      this.#fresh.push(event);
      this.#counts[event.level]++;
      this.#unseen.all++;
      this.#unseen.error += event.level === "error";
    }
    if (this.#events.length > kept) {
      this.#events.splice(0, this.#events.length - kept);
    }
    if (this.#fresh.length > shown) {
      this.#fresh.splice(0, this.#fresh.length - shown);
    }
    this.#draw();
  }

  #filter() {
    const form = byId("log-controls");
    const peer = byId("log-peer").value.trim().toLowerCase();
    const text = byId("log-text").value.trim().toLowerCase();
    return (e) => form.elements[e.level]?.checked
      && (!peer || (e.peer ?? "").toLowerCase().includes(peer))
      && (!text || `${e.peer ?? ""} ${e.text ?? ""} ${e.kind ?? ""}`.toLowerCase().includes(text));
  }

  #drawAll() {
    this.#fresh = [];
    const lines = this.#events.filter(this.#filter()).slice(-shown).map(line);
    this.#lines.replaceChildren(...lines);
    this.#settle();
  }

  #drawFresh() {
    if (this.#paused) {
      setText(byId("log-note"), `paused, ${many(this.#fresh.length, "new event", "new events")}`);
      return;
    }
    const lines = this.#fresh.filter(this.#filter()).map(line);
    this.#fresh = [];
    if (lines.length) {
      this.#lines.append(...lines);
      for (let extra = this.#lines.childElementCount - shown; extra > 0; extra--) {
        this.#lines.firstElementChild.remove();
      }
    }
    this.#settle();
  }

  /** Does what follows every drawing. */
  #settle() {
    if (this.#follows) {
      this.#lines.scrollTop = this.#lines.scrollHeight;
    }
    for (const [level, n] of Object.entries(this.#counts)) {
      setText(document.querySelector(`[data-count="${level}"]`), String(n));
    }
    const lines = this.#lines.childElementCount;
    setText(byId("log-note"), lines === this.#events.length ? many(lines, "event", "events") : `${exact(lines)} of ${many(this.#events.length, "event", "events")}`);
    const dropped = byId("log-dropped");
    dropped.hidden = this.#dropped === 0;
    setText(dropped, this.#dropped ? `${many(this.#dropped, "event was", "events were")} lost on the way to this page, which was too slow or away for too long.` : "");
    if (this.#unseen.all) {
      announce(`${many(this.#unseen.all, "new event", "new events")}${this.#unseen.error ? `, ${many(this.#unseen.error, "error", "errors")}` : ""}`);
      this.#unseen = { all: 0, error: 0 };
    }
  }

  #pause(paused) {
    this.#paused = paused;
    const button = byId("log-pause");
    button.setAttribute("aria-pressed", String(paused));
    this.#drawFresh();
  }

  #follow(follows, scroll = true) {
    this.#follows = follows;
    byId("log-newest").hidden = follows;
    if (follows && scroll) {
      this.#lines.scrollTop = this.#lines.scrollHeight;
      this.#lines.focus({ preventScroll: true });
    }
  }

  /** Shows or hides the fields of an event. */
  #toggle({ target }) {
    const button = target.closest("button.more");
    if (!button) {
      return;
    }
    const item = button.closest("li");
    const open = button.getAttribute("aria-expanded") === "false";
    button.setAttribute("aria-expanded", String(open));
    if (!open) {
      item.querySelector("dl")?.remove();
      return;
    }
    const list = make("dl", "fields");
    for (const [name, value] of Object.entries(details.get(item) ?? {})) {
      if (value !== "" && value !== null && !(Array.isArray(value) && value.length === 0)) {
        const field = make("div");
        field.append(make("dt", "", name.replaceAll("_", " ")), make("dd", "", typeof value === "object" ? JSON.stringify(value) : String(value)));
        list.append(field);
      }
    }
    item.append(list);
  }
}

const details = new WeakMap(); // the fields of a line

function line(event) {
  const item = make("li");
  item.dataset.level = event.level;
  const time = make("time", "", clock(event.time));
  time.dateTime = new Date(event.time).toISOString();
  const level = make("span", "level");
  level.append(make("span", "unseen", `${levels[event.level]}: `));
  item.append(time, level);
  if (event.peer) {
    item.append(make("span", "peer", event.peer));
  }
  item.append(make("span", "text", event.text ?? event.kind ?? ""));
  if (event.fields && Object.keys(event.fields).length) {
    const more = make("button", "more");
    more.type = "button";
    more.setAttribute("aria-expanded", "false");
    more.setAttribute("aria-label", `Details of ${event.kind ?? "the event"}`);
    item.append(more);
    details.set(item, event.fields);
  }
  return item;
}
