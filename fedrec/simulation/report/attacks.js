"use strict";
(() => {
  const series = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const colours = ["budget", "popularity", "accent", "oracle"];
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  function draw() {
    const traces = series.map((one, place) => ({
      type: "bar", name: one.name, x: one.x, y: one.y, marker: { color: colour(colours[place % colours.length]) },
      error_y: { type: "data", symmetric: false, array: one.above, arrayminus: one.below, color: colour("soft"), thickness: 1.5 },
      hovertemplate: "%{x}<br>%{y:.3f}<extra>%{fullData.name}</extra>",
    }));
    const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), automargin: true, fixedrange: true };
    Plotly.react("plot-attacks", traces, {
      font: { family: "system-ui, sans-serif", size: 13, color: colour("soft") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 8, r: 8, t: 8, b: 8 },
      xaxis: { ...axis, showgrid: false }, yaxis: { ...axis, rangemode: "tozero" },
      barmode: "group", legend: { orientation: "h", y: 1.04, yanchor: "bottom", x: 0 },
    }, { displayModeBar: false, responsive: true });
  }
  draw();
  dark.addEventListener("change", draw);
})();
