// The charts: what went on in the last five minutes, drawn as SVG.

import { byId, draw, make, onFrame, setText } from "./dom.js";
import { clock, count, milliseconds } from "./format.js";

const kept = 300; // samples
const width = 300; // in units of the drawing: one for each sample
const height = 90;

/** The median and the 99th percentile of how long something took. */
function took(what) {
  return [
    { name: "median", of: (s) => s.latencies?.[what]?.p50 },
    { name: "p99", of: (s) => s.latencies?.[what]?.p99 },
  ];
}

/** What is drawn: lines is what each has of a sample, needed whether it is shown at all. */
const charts = [
  { title: "Datagrams", unit: "/s", show: count, lines: [{ name: "datagrams", of: (s) => s.datagrams }] },
  { title: "Requests", unit: "/s", show: count, needed: (s) => s.requests > 0, lines: [{ name: "requests", of: (s) => s.requests }] },
  { title: "Handshakes", unit: "/s", show: count, needed: (s, shows) => shows.peers || s.handshakes > 0, lines: [{ name: "handshakes", of: (s) => s.handshakes }] },
  { title: "Drops", unit: "/s", show: count, lines: [{ name: "drops", of: (s) => s.drops }] },
  { title: "Handshake time", unit: "", show: milliseconds, needed: (s) => s.latencies?.handshake, lines: took("handshake") },
  { title: "Answer time", unit: "", show: milliseconds, needed: (s) => s.latencies?.answer, lines: took("answer") },
];

export class Charts {
  #samples = [];
  #figures = [];
  #shows = {};
  #draw = onFrame(() => this.#drawAll());

  begin(shows) {
    this.#shows = shows;
    byId("charts").hidden = !shows.samples;
    if (this.#figures.length === 0) {
      this.#figures = charts.map((chart) => new Figure(chart));
      byId("charts").append(...this.#figures.map((f) => f.element));
    }
  }

  clear() {
    this.#samples = [];
  }

  add({ samples }) {
    this.#samples.push(...samples);
    this.#samples.splice(0, this.#samples.length - kept);
    this.#draw();
  }

  #drawAll() {
    for (const figure of this.#figures) {
      figure.draw(this.#samples, this.#shows);
    }
    byId("charts").dataset.shown = this.#figures.filter((f) => !f.element.hidden).length; // for the columns
  }
}

class Figure {
  #chart;
  #value = make("span", "value");
  #legend = make("ul", "legend");
  #top = make("span", "axis");
  #svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
  #mark = draw("line", { class: "mark", y1: 0, y2: height, visibility: "hidden" });
  #area = draw("path", { class: "area" });
  #paths;
  #samples = [];
  #shows = {};
  #said = 0;
  #pointed = -1; // where the pointer is, in units of the drawing

  element = make("figure", "card chart");

  constructor(chart) {
    this.#chart = chart;
    const caption = make("figcaption");
    caption.append(make("h3", "", chart.title), this.#value);
    const plot = make("div", "plot");
    plot.append(this.#svg, this.#top);
    for (const y of [0.25, 0.5, 0.75]) {
      this.#svg.append(draw("line", { class: "grid", x1: 0, x2: width, y1: height * y, y2: height * y }));
    }
    this.#paths = chart.lines.map((_, i) => draw("path", { class: `line line-${i}` }));
    this.#svg.append(this.#area, ...this.#paths, this.#mark);
    this.element.append(caption, plot);
    if (chart.lines.length > 1) {
      this.#legend.append(...chart.lines.map((l, i) => make("li", `key line-${i}`, l.name)));
      this.element.append(this.#legend);
    }
    plot.addEventListener("pointermove", (e) => {
      const box = plot.getBoundingClientRect();
      this.#point((e.clientX - box.left) / box.width * width);
    });
    plot.addEventListener("pointerleave", () => this.#point(-1));
  }

  draw(samples, shows) {
    this.#samples = samples;
    this.#shows = shows;
    const { lines, needed } = this.#chart;
    this.element.hidden = needed !== undefined && !samples.some((s) => needed(s, shows));
    const top = round(Math.max(0, ...lines.flatMap((l) => samples.map((s) => l.of(s) ?? 0))));
    setText(this.#top, this.#chart.show(top) + this.#chart.unit);
    lines.forEach((l, i) => {
      const { line, area, sparse } = trace(samples, l.of, top);
      this.#paths[i].setAttribute("d", line);
      this.#paths[i].classList.toggle("sparse", sparse);
      if (lines.length === 1) {
        this.#area.setAttribute("d", area);
      }
    });
    this.#read(lines, top);
  }

  /** Shows the value that is pointed at, or the last one. */
  #read(lines, top) {
    const at = this.#pointed < 0 ? this.#samples.length - 1 : Math.round(this.#pointed) - (width - this.#samples.length);
    let sample = this.#samples[Math.max(0, Math.min(at, this.#samples.length - 1))];
    if (this.#pointed < 0) { // of what is not measured all the time, the last that was
      sample = this.#samples.findLast((s) => lines.some((l) => l.of(s) !== undefined)) ?? sample;
    }
    const values = lines.map((l) => sample && l.of(sample)).filter((v) => v !== undefined);
    const text = values.length ? values.map(this.#chart.show).join(" · ") + this.#chart.unit : "–";
    setText(this.#value, this.#pointed < 0 || !sample ? text : `${text} at ${clock(sample.time).slice(0, 8)}`);
    if (Date.now() - this.#said > 5000) {
      this.#said = Date.now();
      this.#svg.setAttribute("aria-label", `${this.#chart.title}: now ${text}, at most ${this.#chart.show(top)}${this.#chart.unit} in five minutes`);
    }
  }

  #point(x) {
    this.#pointed = x;
    this.#mark.setAttribute("visibility", x < 0 ? "hidden" : "visible");
    this.#mark.setAttribute("x1", x);
    this.#mark.setAttribute("x2", x);
    this.draw(this.#samples, this.#shows);
  }
}

/** The next round number above. */
function round(most) {
  if (most <= 0) {
    return 1;
  }
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].find((n) => n * unit >= most) * unit;
}

/** The outline of a line, which leaves out what was not measured, and of the area below. */
function trace(samples, of, top) {
  const points = [];
  samples.forEach((sample, i) => {
    const value = of(sample);
    if (value !== undefined) {
      points.push(`${width - samples.length + i} ${(height - value / top * (height - 4) - 1).toFixed(1)}`);
    }
  });
  if (points.length === 0) {
    return { line: "", area: "", sparse: false };
  }
  const sparse = points.length * 2 < samples.length;
  if (sparse) { // dots, since nobody knows what was between
    return { line: points.map((p) => `M${p}h.01`).join(""), area: "", sparse };
  }
  const [from, to] = [points[0], points.at(-1)].map((p) => p.split(" ")[0]);
  const line = `M${points.join("L")}`;
  return { line: `${line}h.01`, area: `${line}L${to} ${height}L${from} ${height}Z`, sparse };
}
