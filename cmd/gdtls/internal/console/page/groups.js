// The groups: a rainbow for each member, which fills up with what it says in its turn.

import { byId, make, setText } from "./dom.js";
import { many } from "./format.js";

const colours = ["red", "orange", "yellow", "green", "blue", "indigo", "violet"];
const most = 42; // segments that are drawn; more states share them

export class Groups {
  #list = byId("groups-list");
  #groups = new Map(); // by name
  #states = 0;

  begin(shows) {
    byId("groups").hidden = !shows.groups;
  }

  show({ states, groups, more }) {
    byId("groups").hidden = states === 0;
    if (states !== this.#states) {
      this.#states = states;
      this.#groups.clear();
      this.#list.replaceChildren();
    }
    const seen = new Set();
    for (const group of groups) {
      seen.add(group.name);
      if (!this.#groups.has(group.name)) {
        this.#add(group.name);
      }
      this.#update(this.#groups.get(group.name), group);
    }
    for (const [name, g] of this.#groups) {
      if (!seen.has(name)) {
        g.element.remove();
        this.#groups.delete(name);
      }
    }
    const note = [many(groups.length + more, "group", "groups"), many(states, "state", "states")];
    if (more) {
      note.push(`${more} not shown`);
    }
    setText(byId("groups-note"), note.join(", "));
  }

  #add(name) {
    const element = make("li", "group");
    element.dataset.group = name;
    const head = make("div", "group-head");
    const walks = make("span", "note");
    const members = make("ul", "members");
    const more = make("p", "note");
    head.append(make("h3", "", name), walks);
    element.append(head, members, more);
    this.#groups.set(name, { element, walks, members, more, rows: new Map() });
    this.#list.append(element);
  }

  #update(g, group) {
    const where = group.last < 0 ? "not begun" : `at ${group.last} of ${this.#states - 1}`;
    setText(g.walks, `${where} · ${many(group.walks, "walk", "walks")}`);
    const seen = new Set();
    for (const member of group.members) {
      seen.add(member.registration);
      let row = g.rows.get(member.registration);
      if (!row) {
        row = this.#row(member.registration);
        g.rows.set(member.registration, row);
        g.members.append(row.element);
      }
      this.#fill(row, member);
    }
    for (const [registration, row] of g.rows) {
      if (!seen.has(registration)) {
        row.element.remove();
        g.rows.delete(registration);
      }
    }
    setText(g.more, group.more ? `and ${many(group.more, "more member", "more members")}` : "");
  }

  #row(registration) {
    const element = make("li", "member");
    element.dataset.member = registration;
    const bar = make("span", "rainbow");
    bar.setAttribute("role", "img");
    for (let i = 0; i < Math.min(this.#states, most); i++) {
      const segment = make("span");
      segment.dataset.colour = colours[Math.floor(i * this.#states / Math.min(this.#states, most)) % colours.length];
      bar.append(segment);
    }
    const walks = make("span", "note walks");
    element.append(make("span", "name", `No. ${registration}`), bar, walks);
    return { element, bar, walks, last: null };
  }

  #fill(row, { registration, reached, walks }) {
    setText(row.walks, walks ? `${walks} ✓` : "");
    row.walks.title = many(walks, "walk ended", "walks ended");
    if (row.last === reached) {
      return;
    }
    row.last = reached;
    const segments = row.bar.children;
    let total = 0;
    for (let n = 0; n < this.#states; n++) {
      total += has(reached, n);
    }
    for (let i = 0; i < segments.length; i++) {
      const from = Math.floor(i * this.#states / segments.length);
      const to = Math.floor((i + 1) * this.#states / segments.length);
      let all = true;
      for (let n = from; n < to; n++) {
        all &&= has(reached, n);
      }
      segments[i].classList.toggle("on", all);
    }
    row.element.classList.toggle("full", total === this.#states);
    const names = this.#states <= colours.length ? colours.filter((_, n) => has(reached, n)).join(", ") : "";
    row.bar.setAttribute("aria-label", `Member ${registration}: ${total} of ${this.#states} states${names ? `, ${names}` : ""}`);
  }
}

/** Tells whether a state is in a set, which is in hexadecimal with bit n%8 in byte n/8. */
function has(set, n) {
  const byte = parseInt(set.slice(2 * (n >> 3), 2 * (n >> 3) + 2), 16) || 0;
  return (byte >> (n & 7) & 1) === 1;
}
