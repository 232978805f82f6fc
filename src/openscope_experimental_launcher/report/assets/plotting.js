"use strict";
// How measured quantities are drawn with uPlot: shared by the report and the live page.
const plotting = (() => {
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

  return { clock, amount, options };
})();
