// How numbers and times are written.

const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, notation: "compact" });
const plain = new Intl.NumberFormat("en");

/** A count or a rate, short. */
export function count(n) {
  return n < 1000 ? String(Math.round(n * 10) / 10) : short.format(n);
}

/** A count in full. */
export function exact(n) {
  return plain.format(n);
}

/** An amount of bytes. */
export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

/** A time of day, with milliseconds. */
export function clock(ms) {
  const t = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}.${String(t.getMilliseconds()).padStart(3, "0")}`;
}

/** How long something lasts, in its two largest units. */
export function duration(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) {
    return `${s} s`;
  }
  if (s < 3600) {
    return `${Math.floor(s / 60)} min ${s % 60} s`;
  }
  if (s < 86400) {
    return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  }
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

/** Milliseconds, as precise as is useful. */
export function milliseconds(ms) {
  if (ms >= 1000) {
    return `${(ms / 1000).toFixed(2)} s`;
  }
  if (ms >= 100) {
    return `${Math.round(ms)} ms`;
  }
  if (ms >= 1) {
    return `${ms.toFixed(1)} ms`;
  }
  return `${Math.round(ms * 1000)} µs`;
}

/** Several of something. */
export function many(n, one, more) {
  return `${exact(n)} ${n === 1 ? one : more}`;
}
