// The table of DTLS peers.

import { byId, make, setText } from "./dom.js";
import { bytes, count, duration, exact, many } from "./format.js";

const step = 50; // rows that are shown at first, and more each time
const most = 200; // that the server tells

export class Peers {
  #link;
  #now; // gives the server's clock
  #rows = new Map(); // by id
  #limit = step;
  #canClose = false;
  #timer = 0;

  constructor(link, now) {
    this.#link = link;
    this.#now = now;
    const ask = () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#ask(), 200);
    };
    byId("peers-controls").addEventListener("input", ask);
    byId("peers-controls").addEventListener("submit", (e) => e.preventDefault());
    byId("peers-more").addEventListener("click", () => {
      this.#limit = Math.min(this.#limit + step, most);
      this.#ask();
    });
    byId("peers-rows").addEventListener("click", (e) => {
      const button = e.target.closest("button");
      if (button) {
        this.#confirm(Number(button.dataset.id), button.dataset.address);
      }
    });
    setInterval(() => this.#age(), 1000);
  }

  /** Prepares the table for what the server shows. */
  begin(shows) {
    byId("peers").hidden = !shows.peers;
    this.#canClose = shows.close;
    byId("peers-action").hidden = !shows.close;
    if (shows.peers) {
      this.#ask();
    }
  }

  #ask() {
    this.#link.keep({ type: "peers", filter: byId("peers-filter").value, sort: byId("peers-sort").value, limit: this.#limit });
  }

  show({ total, matched, peers }) {
    const body = byId("peers-rows");
    const seen = new Set();
    let place = body.firstElementChild;
    for (const peer of peers) {
      seen.add(peer.id);
      let row = this.#rows.get(peer.id);
      if (!row) {
        row = this.#row(peer);
        this.#rows.set(peer.id, row);
      }
      row.update(peer);
      if (row.element === place) {
        place = place.nextElementSibling;
      } else {
        body.insertBefore(row.element, place);
      }
    }
    for (const [id, row] of this.#rows) {
      if (!seen.has(id)) {
        row.element.remove();
        this.#rows.delete(id);
      }
    }
    this.#age();
    const filtered = matched === total ? many(total, "peer", "peers") : `${exact(matched)} of ${many(total, "peer", "peers")}`;
    setText(byId("peers-note"), peers.length < matched ? `${filtered}, the first ${peers.length} are shown` : filtered);
    byId("peers-more").hidden = peers.length >= matched || this.#limit >= most;
    byId("peers").classList.toggle("empty", peers.length === 0);
  }

  /** Makes the row of a peer, and a function that updates it. */
  #row(peer) {
    const element = make("tr");
    element.setAttribute("role", "row");
    const cell = (label, className = "", tag = "td") => {
      const c = make(tag, className);
      c.setAttribute("role", tag === "th" ? "rowheader" : "cell");
      c.dataset.label = label;
      element.append(c);
      return c;
    };
    const address = cell("Address", "mono", "th");
    address.scope = "row";
    const state = cell("State");
    const badge = make("span", "badge");
    state.append(badge);
    const identity = cell("Identity", "long");
    const cipher = cell("Cipher suite", "long");
    const alpn = cell("ALPN");
    const received = cell("Received", "number");
    const sent = cell("Sent", "number");
    const losses = cell("Losses", "number");
    const age = cell("Age", "number");
    if (this.#canClose) {
      const button = make("button", "danger small", "Close");
      button.type = "button";
      button.dataset.id = peer.id;
      button.dataset.address = peer.address;
      button.setAttribute("aria-label", `Close the connection with ${peer.address}`);
      cell("").append(button);
    }
    const update = (p) => {
      this.#rows.get(p.id).since = p.since;
      setText(address, p.server ? `${p.address} · ${p.server}` : p.address);
      setText(badge, p.resumed ? `${p.state}, resumed` : p.state);
      badge.dataset.state = p.state;
      setText(identity, p.identity ?? "–");
      identity.title = p.identity ?? "";
      setText(cipher, p.cipher?.replace(/^TLS_/, "").replaceAll("_", " ") ?? "–");
      cipher.title = p.cipher ?? "";
      setText(alpn, p.alpn ?? "–");
      setText(received, bytes(p.bytes_in));
      received.title = many(p.messages_in, "message", "messages");
      setText(sent, bytes(p.bytes_out));
      sent.title = many(p.messages_out, "message", "messages");
      setText(losses, count(p.missing + p.discarded));
      losses.title = `${many(p.missing, "record", "records")} missing, ${exact(p.discarded)} discarded`;
    };
    return { element, update, age, since: peer.since };
  }

  #age() {
    const now = this.#now();
    for (const row of this.#rows.values()) {
      setText(row.age, duration(now - row.since));
    }
  }

  #confirm(id, address) {
    const dialog = byId("close-dialog");
    byId("close-text").textContent = `${address} is told goodbye and has to connect again.`;
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue === "close") {
        this.#link.send({ type: "close", id });
      }
    };
    dialog.showModal();
  }
}
