// The report: its timeline, its traces, and what is drawn under a finding.
(() => {
  const read = id => JSON.parse(document.getElementById(id).textContent);
  const lines = read("timeline-data"), told = read("trace-data");
  const host = document.getElementById("charts");
  if (host && lines.charts.length) {
    hikkoshi.timeline(host, lines, { buttons: [...document.querySelectorAll("button[data-start]")] });
  }
  const traces = document.getElementById("trace-search") ? hikkoshi.traces(told) : null;
  for (const figure of document.querySelectorAll("[data-figure]")) {
    const spec = lines.figures[Number(figure.dataset.figure)];
    if (spec.charts.length) {
      const charts = spec.charts.map(name => lines.charts.find(chart => chart.id === name));
      hikkoshi.timeline(figure, { ...lines, charts: charts.filter(Boolean) },
        { view: spec.view, shade: spec.shade });
    }
    const trace = spec.trace && traces && traces.find(spec.trace);
    if (trace) traces.waterfall(trace, figure, true);
  }
})();
