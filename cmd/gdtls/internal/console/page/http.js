// Requests to the server.

/** Posts JSON. The server takes no other way to change something, and no other origin. */
export function post(path, body = {}) {
  return fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    cache: "no-store",
  });
}
