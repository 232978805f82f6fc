"use strict";
(() => {
  const data = JSON.parse(document.getElementById("plot-data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");

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
        const u = new uPlot(plotting.options(plot, stage.clientWidth || 600, show), columns, stage);
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
