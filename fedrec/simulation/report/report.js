"use strict";
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const dashes = { oracle: "dash", popularity: "dot", "private popularity": "longdash", random: "dashdot", budget: "dash" };
  // One colour a query, the same in every chart, in the order in which they were asked.
  const asked = [...new Set(charts.flatMap((chart) => (chart.kind === "bar" ? chart.hover : [])))];
  const queryColour = (query) => colour("query-" + (1 + (asked.indexOf(query) % 10)));
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

  function own(chart) {
    const hover = chart.axis + " %{x}<br>%{y:,.4~f} " + chart.unit + "<br>%{text}<extra></extra>";
    if (chart.kind === "bar") {
      return [...new Set(chart.hover)].map((query) => {
        const places = chart.hover.flatMap((name, place) => (name === query ? [place] : []));
        return {
          type: "bar", name: query, x: places.map((at) => chart.x[at]), y: places.map((at) => chart.y[at]),
          text: places.map(() => query), textposition: "none", hovertemplate: hover,
          marker: { color: queryColour(query) },
        };
      });
    }
    return [{
      type: "scatter", mode: chart.x.length > 1 ? "lines+markers" : "markers", name: "this run",
      x: chart.x, y: chart.y, text: chart.hover, hovertemplate: hover,
      line: { color: colour("accent"), width: 3 },
      marker: { color: colour("accent"), size: chart.x.length > 1 ? 6 : 12 },
    }];
  }

  function traces(chart) {
    const first = Math.min(...chart.x), last = Math.max(...chart.x);
    const ends = first === last ? [first - 1, last + 1] : [first, last];
    const levels = chart.levels.map((level) => ({
      type: "scatter", mode: "lines", x: ends, y: [level.value, level.value], hoverinfo: "name+y",
      name: level.name + " " + level.value.toFixed(chart.unit === "" ? 3 : 2),
      line: { color: colour(level.name.replace(" ", "-")), width: 2, dash: dashes[level.name] || "dot" },
    }));
    return [...own(chart), ...levels];
  }

  // Few places are named each: a tick between two of them would be the same number again.
  function ticks(chart) {
    const places = [...new Set(chart.x)];
    return places.length > 12 ? { tickformat: "d", nticks: 8 } : { tickmode: "array", tickvals: places, tickformat: "d" };
  }

  function layout(chart) {
    const axis = {
      gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true, fixedrange: true,
    };
    return {
      font: { family: "system-ui, sans-serif", size: 13, color: colour("soft") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 8, r: 8, t: 8, b: 8 },
      xaxis: { ...axis, title: { text: chart.axis }, showgrid: false, ...ticks(chart) },
      yaxis: { ...axis, title: { text: chart.unit, standoff: 10 }, rangemode: "tozero", nticks: 6, tickformat: chart.format },
      showlegend: chart.levels.length > 0 || new Set(chart.hover).size > 1 && chart.kind === "bar",
      barmode: "stack", legend: { orientation: "h", y: 1.04, yanchor: "bottom", x: 0 },
      hoverlabel: { bgcolor: colour("card"), bordercolor: colour("line"), font: { color: colour("ink") } },
      bargap: 0.25,
    };
  }

  function draw() {
    for (const chart of charts) {
      const place = document.getElementById("plot-" + chart.id);
      if (place) Plotly.react(place, traces(chart), layout(chart), { displayModeBar: false, responsive: true });
    }
  }
  draw();
  dark.addEventListener("change", draw);
})();
