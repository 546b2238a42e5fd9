// The console: what the server sends goes to the parts of the page.

import { announce } from "./announce.js";
import { Charts } from "./charts.js";
import { byId, setText } from "./dom.js";
import { Groups } from "./groups.js";
import { post } from "./http.js";
import { Link } from "./link.js";
import { Log } from "./log.js";
import { Peers } from "./peers.js";

const states = { connecting: "Connecting", live: "Live", lost: "Connection lost, trying again" };

let ahead = 0; // of the server's clock, in ms
const log = new Log();
const groups = new Groups();
const charts = new Charts();

const link = new Link({
  hello(m) {
    ahead = m.now - Date.now();
    setText(byId("title"), m.title);
    setText(byId("viewer"), m.viewer);
    document.title = `${m.title} – gdtls console`;
    if (!m.resumed) {
      log.clear();
      charts.clear();
    }
    groups.begin(m.shows);
    charts.begin(m.shows);
    peers.begin(m.shows);
  },
  events: (m) => log.add(m),
  samples: (m) => charts.add(m),
  groups: (m) => groups.show(m),
  peers: (m) => peers.show(m),
  done(m) {
    if (m.error) {
      announce(`The connection was not closed: ${m.error}`);
    }
  },
}, (state) => {
  byId("link").dataset.state = state;
  setText(byId("link-text"), states[state]);
});

const peers = new Peers(link, () => Date.now() + ahead);

byId("logout").addEventListener("click", async () => {
  link.close();
  try {
    await post("/logout");
  } finally {
    location.assign("/login");
  }
});

/** Renews the login when half of its time is over, and goes on with the new one. */
async function stayLoggedIn() {
  let wait = 60_000;
  try {
    const response = await post("/session");
    if (response.ok) {
      const { expires, now } = await response.json();
      wait = Math.max((expires - now) / 2, 1000);
    }
  } catch {
    // The link tells that the server cannot be reached.
  }
  setTimeout(async () => {
    try {
      if ((await post("/renew")).ok) {
        link.reopen();
      }
    } catch {
      // It is tried again.
    }
    void stayLoggedIn();
  }, wait);
}

link.open();
void stayLoggedIn();
