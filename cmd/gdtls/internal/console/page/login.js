// Logs in: by name and password, or by the ticket in a one-time link. The ticket stands
// behind the # of the address, which browsers send to nobody.

import { byId } from "./dom.js";
import { post } from "./http.js";

const form = byId("login");
const problem = byId("problem");
let ticket = new URLSearchParams(location.hash.slice(1)).get("ticket");

async function logIn(path, body) {
  problem.textContent = "";
  byId("submit").disabled = true;
  try {
    const response = await post(path, body);
    if (response.ok) {
      location.replace("/");
      return;
    }
    problem.textContent = explain(response.status);
  } catch {
    problem.textContent = "The server cannot be reached.";
  }
  byId("submit").disabled = false;
}

function explain(status) {
  switch (status) {
    case 401:
      return ticket ? "This link has been used, or is too old." : "Name or password is not right.";
    case 429:
      return "Too many tries. Wait a little.";
    default:
      return `The server refused (${status}).`;
  }
}

function showForm() {
  const accounts = form.dataset.accounts === "true";
  byId("by-name").hidden = !accounts;
  byId("by-link").hidden = accounts;
  byId("submit").hidden = !accounts;
}

byId("link").addEventListener("click", async () => {
  byId("printed").textContent = "";
  problem.textContent = "";
  try {
    const response = await post("/login/link");
    if (response.ok) {
      byId("printed").textContent = "Look where the server was started.";
    } else {
      problem.textContent = explain(response.status);
    }
  } catch {
    problem.textContent = "The server cannot be reached.";
  }
});

form.addEventListener("submit", (e) => {
  e.preventDefault();
  ticket = null;
  void logIn("/login", { username: byId("username").value, password: byId("password").value });
});

showForm();
if (ticket) {
  history.replaceState(null, "", "/login"); // it is good only once
  void logIn("/login/once", { ticket });
}
