// The connection with the server: a WebSocket that is opened again whenever it is lost,
// and then goes on where it was.

import { post } from "./http.js";

const shortest = 500; // ms before the first try
const longest = 8000;

/**
 * Link is told to what is sent: it calls the handler of a message's type with it, and
 * state with "connecting", "live" or "lost".
 */
export class Link {
  #handlers;
  #state;
  #socket = null;
  #wait = shortest;
  #timer = 0;
  #greeting = {}; // commands that are said anew to each connection, by type
  #over = false;

  epoch = "";
  event = 0; // number of the last event that came
  sample = 0;

  constructor(handlers, state) {
    this.#handlers = handlers;
    this.#state = state;
    addEventListener("online", () => this.#again(0));
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible" && !this.#socket) {
        this.#again(0);
      }
    });
  }

  open() {
    clearTimeout(this.#timer);
    if (this.#socket || this.#over) {
      return;
    }
    this.#state("connecting");
    const socket = new WebSocket(new URL("/ws", location.href.replace(/^http/, "ws")), "gdtls.console");
    this.#socket = socket;
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "resume", epoch: this.epoch, event: this.event, sample: this.sample }));
      for (const command of Object.values(this.#greeting)) {
        socket.send(JSON.stringify(command));
      }
    };
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onclose = () => {
      if (this.#socket === socket) {
        this.#socket = null;
        void this.#lost();
      }
    };
  }

  /** Opens a new connection in place of the one that is there. */
  reopen() {
    const old = this.#socket;
    this.#socket = null;
    old?.close();
    this.open();
  }

  /** Closes the connection for good. */
  close() {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#socket?.close();
  }

  /** Sends a command, if there is a connection. */
  send(command) {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(command));
      return true;
    }
    return false;
  }

  /** Sends a command now, and again whenever a connection is opened. */
  keep(command) {
    this.#greeting[command.type] = command;
    this.send(command);
  }

  #take(message) {
    switch (message.type) {
      case "hello":
        this.#wait = shortest;
        if (!message.resumed) {
          this.event = 0;
          this.sample = 0;
        }
        this.epoch = message.epoch;
        this.#state("live");
        break;
      case "events":
        this.event = message.events.at(-1)?.n ?? this.event + message.dropped;
        break;
      case "samples":
        this.sample = message.samples.at(-1).n;
        break;
    }
    this.#handlers[message.type]?.(message);
  }

  async #lost() {
    this.#state("lost");
    if (this.#over) {
      return;
    }
    // A refused WebSocket does not say why. If it is since the login is over, there is no
    // use in trying again.
    try {
      if ((await post("/session")).status === 401) {
        location.assign("/login");
        return;
      }
    } catch {
      // The server cannot be reached.
    }
    this.#again(this.#wait * (0.75 + Math.random() / 2));
    this.#wait = Math.min(this.#wait * 2, longest);
  }

  #again(ms) {
    clearTimeout(this.#timer);
    if (!this.#socket && !this.#over) {
      this.#timer = setTimeout(() => this.open(), ms);
    }
  }
}
