// What is said to screen readers: rarely, and the latest only.

import { byId } from "./dom.js";

const pause = 5000; // ms between two announcements

let waiting = "";
let timer = 0;
let last = 0;

function say() {
  timer = 0;
  last = Date.now();
  byId("announce").textContent = waiting;
  waiting = "";
}

/** Announces a text when there is time for it; a later one takes its place. */
export function announce(text) {
  waiting = text;
  if (!timer) {
    timer = setTimeout(say, Math.max(0, last + pause - Date.now()));
  }
}
