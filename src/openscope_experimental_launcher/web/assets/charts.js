// The curves of one session, drawn as they grow.
import { make, say } from "./dom.js";
import { size } from "./words.js";

const HEIGHT = 130;
const MOST_POINTS = 1500;
const RECENT_S = 600;
const PLACES = { memory: 1, system: 2, cpu: 3, disk: 4 };
const UPPER = { memory: true, system: true, disk: false };
const NEAR = 0.25; // as in the report

/** The amount in words, in the unit that a person would use. */
function amount(key, value) {
  if (value == null) return "–";
  if (key === "memory") return size(value * 1e6);
  if (key === "disk") return `${size(value * 1e9)} free`;
  return `${value.toFixed(0)} %`;
}

class Chart {
  constructor(plot) {
    this.plot = plot;
    this.value = make("strong");
    this.stage = make("div", { class: "stage", "aria-hidden": "true" });
    this.figure = make(
      "figure",
      { class: "chart" },
      make("figcaption", {}, make("span", {}, plot.title), make("br"), this.value, this.limitWords()),
      this.stage,
    );
    this.figure.dataset.plot = plot.key;
    this.figure.dataset.points = String(plot.at.length);
  }

  limitWords() {
    const { key, limit } = this.plot;
    if (limit == null) return "";
    const words = key === "disk" ? `${size(limit * 1e9)} are kept free` : `limit ${amount(key, limit)}`;
    return make("span", { class: "dim" }, ` · ${words}`);
  }

  add(at, value) {
    const { plot } = this;
    if (value == null || at <= (plot.at.at(-1) ?? -1)) return;
    plot.at.push(at);
    plot.values.push(value);
  }

  columns() {
    const { at, values, limit, key } = this.plot;
    const top = values.reduce((most, value) => Math.max(most, value), 0);
    const near = limit != null && (UPPER[key] ? top >= NEAR * limit : limit >= NEAR * top);
    return [at, values, at.map(() => (near ? limit : null))];
  }

  draw() {
    this.drawn?.destroy();
    const width = this.stage.clientWidth || 300;
    const options = plotting.options({ unit: this.plot.unit, near: true }, width, () => {});
    options.height = HEIGHT;
    options.legend = { show: false };
    options.cursor = { drag: { x: false, y: false } };
    delete options.hooks;
    options.padding = [8, 18, 0, 0];
    Object.assign(options.axes[0], { space: 60, size: 28 });
    Object.assign(options.axes[1], { space: 26, size: 56 });
    this.drawn = new uPlot(options, this.columns(), this.stage);
  }

  show(recent) {
    const { at, values, key } = this.plot;
    say(this.value, amount(key, values.at(-1)));
    this.figure.dataset.points = String(at.length);
    if (!this.drawn) this.draw();
    const { clientWidth } = this.stage;
    if (clientWidth && clientWidth !== this.drawn.width) {
      this.drawn.setSize({ width: clientWidth, height: HEIGHT });
    }
    this.drawn.setData(this.columns(), !recent);
    if (recent && at.length) {
      this.drawn.setScale("x", { min: Math.max(at.at(-1) - RECENT_S, at[0]), max: at.at(-1) });
    }
  }
}

/** All charts of a session, in an element of their own. */
export class Charts {
  constructor() {
    this.all = [];
    this.recent = false;
    this.grid = make("div", { class: "charts" });
    this.button = make("button", { type: "button", class: "quiet", onclick: () => this.turn() });
    this.element = make("div", { hidden: true }, this.grid, this.button);
    this.turn(false);
    new ResizeObserver(() => this.show()).observe(this.grid);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const chart of this.all) if (chart.drawn) chart.draw();
    });
  }

  turn(recent = !this.recent) {
    this.recent = recent;
    say(this.button, recent ? "Show the whole session" : "Show the last 10 minutes");
    this.show();
  }

  /** Begin anew with these curves; those of which nothing was measured are left out. */
  begin(plots) {
    for (const chart of this.all) chart.drawn?.destroy();
    this.all = plots.map((plot) => new Chart(plot));
    this.grid.replaceChildren(...this.all.map((chart) => chart.figure));
    this.show();
  }

  /** Add a measurement; returns whether there are so many that they should be thinned. */
  add(point) {
    for (const chart of this.all) chart.add(point[0], point[PLACES[chart.plot.key]]);
    this.show();
    return this.all.some((chart) => chart.plot.at.length > MOST_POINTS);
  }

  show() {
    for (const chart of this.all) chart.figure.hidden = !chart.plot.at.length;
    this.element.hidden = this.all.every((chart) => chart.figure.hidden);
    if (!this.grid.offsetParent) return; // folded away
    for (const chart of this.all) if (!chart.figure.hidden) chart.show(this.recent);
  }
}
