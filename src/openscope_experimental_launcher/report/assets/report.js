"use strict";
(() => {
  const data = JSON.parse(document.getElementById("plot-data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function clock(seconds) {
    const whole = Math.abs(Math.round(seconds));
    const pad = (n) => String(n).padStart(2, "0");
    const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
    return (seconds < 0 ? "\u2212" : "") + (h ? `${h}:${pad(m)}:${pad(s)}` : `${pad(m)}:${pad(s)}`);
  }
  const amount = (value) =>
    value == null ? "" : value.toLocaleString("en", { maximumSignificantDigits: 4 });

  function heights(low, high) {
    const span = Math.max(high - low, Math.abs(high) / 100) || 1, middle = (low + high) / 2;
    return [low >= 0 && low < high / 2 ? 0 : middle - 0.55 * span, middle + 0.58 * span];
  }
  const digits = (step) => (String(+step.toPrecision(3)).split(".")[1] || "").length;

  function options(plot, width, zoomed) {
    const line = colour("--line"), dim = colour("--dim");
    const axis = { stroke: dim, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    const series = [
      { label: "at", value: (u, v) => (v == null ? "" : clock(v)) },
      { label: plot.unit, stroke: colour("--curve"), width: 1.5, value: (u, v) => amount(v) },
    ];
    if (plot.near) {
      series.push({ label: "limit", stroke: colour("--limit"), width: 1.5, dash: [6, 4], points: { show: false }, value: (u, v) => amount(v) });
    }
    return {
      width, height: 210, series,
      cursor: { drag: { x: true, y: false, setScale: false }, sync: { key: "time" } },
      scales: { x: { time: false }, y: { range: (u, low, high) => heights(low, high) } },
      axes: [
        { ...axis, values: (u, ticks) => ticks.map(clock), space: 70, incrs: [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400] },
        { ...axis, size: 72, values: (u, ticks, n, space, step) => ticks.map((v) => v.toLocaleString("en", { minimumFractionDigits: digits(step), maximumFractionDigits: digits(step) })) },
      ],
      hooks: {
        setSelect: [(u) => {
          if (u.select.width > 3) {
            zoomed(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
          }
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
      },
    };
  }

  function group(box) {
    const figures = [...box.querySelectorAll("[data-plot]")];
    const tools = box.previousElementSibling;
    const times = figures.flatMap((f) => { const at = data[f.dataset.plot].at; return [at[0], at[at.length - 1]]; });
    const whole = [Math.min(...times), Math.max(...times)];
    let shown = whole, drawn = [];

    function show(begin, end) {
      const width = Math.min(Math.max(end - begin, 0.5), whole[1] - whole[0]);
      begin = Math.min(Math.max(begin, whole[0]), whole[1] - width);
      shown = [begin, begin + width];
      drawn.forEach((u) => u.setScale("x", { min: shown[0], max: shown[1] }));
      box.dataset.shown = shown.map((s) => s.toFixed(1)).join(" ");
    }
    function draw() {
      drawn.forEach((u) => u.destroy());
      drawn = figures.map((figure) => {
        const plot = data[figure.dataset.plot];
        figure.classList.add("zoomable");
        const stage = figure.querySelector(".stage");
        const columns = [plot.at, plot.values];
        if (plot.near) columns.push(plot.at.map(() => plot.limit));
        const u = new uPlot(options(plot, stage.clientWidth || 600, show), columns, stage);
        u.over.addEventListener("dblclick", () => show(...whole));
        return u;
      });
      show(...shown);
    }
    const moves = {
      in: (w) => [shown[0] + w / 4, shown[1] - w / 4],
      out: (w) => [shown[0] - w / 2, shown[1] + w / 2],
      left: (w) => [shown[0] - w / 2, shown[1] - w / 2],
      right: (w) => [shown[0] + w / 2, shown[1] + w / 2],
      all: () => whole,
    };
    tools.hidden = false;
    tools.addEventListener("click", (event) => {
      const move = moves[event.target.dataset.zoom];
      if (move) show(...move(shown[1] - shown[0]));
    });
    new ResizeObserver(() => figures.forEach((figure, i) => {
      const width = figure.querySelector(".stage").clientWidth;
      if (width && drawn[i] && drawn[i].width !== width) drawn[i].setSize({ width, height: 210 });
    })).observe(box);
    dark.addEventListener("change", draw);
    draw();
  }
  document.querySelectorAll(".plots").forEach(group);

  document.querySelectorAll("[data-from-end]").forEach((box) => { box.scrollTop = box.scrollHeight; });

  document.querySelectorAll("[data-copy]").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      const source = document.getElementById(button.dataset.copy);
      getSelection().selectAllChildren(source);
      const told = () => { button.textContent = "Copied"; };
      if (navigator.clipboard) navigator.clipboard.writeText(source.textContent).then(told, () => {});
      else if (document.execCommand("copy")) told();
    });
  });

  const closed = new Set();
  addEventListener("beforeprint", () => document.querySelectorAll("details:not([open]):not(.unprinted)").forEach((d) => { closed.add(d); d.open = true; }));
  addEventListener("afterprint", () => { closed.forEach((d) => { d.open = false; }); closed.clear(); });
})();
