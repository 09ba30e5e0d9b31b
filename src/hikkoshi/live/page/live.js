// The live page: one stream feeds the report's own charts and traces.
(() => {
  const { token } = JSON.parse(document.getElementById("settings").textContent);
  const place = id => document.getElementById(id);
  const empty = { length: 1, bucket: 1, bands: [], marks: [], charts: [] };
  const charts = hikkoshi.timeline(place("charts"), empty);
  const traces = hikkoshi.traces({ strings: [], traces: [], total: 0, failed: 0, map: [] });
  const state = (words, isOn) => {
    if (place("state").textContent !== words) place("state").textContent = words;
    place("state").className = isOn ? "state on" : "state";
  };
  const set = (id, words, isBad) => {
    place(id).textContent = words;
    place(id).className = isBad ? "bad" : "";
  };
  const seconds = value => value === null ? "–" : value < 1 ? (value * 1e3).toPrecision(3) + " ms"
    : value.toPrecision(3) + " s";
  const stream = new EventSource("/events?token=" + encodeURIComponent(token));
  stream.addEventListener("lines", event => {
    const data = JSON.parse(event.data), { numbers } = data;
    charts.update(data);
    if (data.quiet_s === null) state("nothing is recorded yet", false);
    else if (data.quiet_s > 10) state("quiet; the last was recorded a while ago", false);
    else state("recording", true);
    set("n-rate", numbers.rate);
    set("n-failed", numbers.failed, numbers.failed > 0);
    set("n-p99", seconds(numbers.p99_s));
    const isKnown = numbers.connections !== null, most = numbers.max_connections;
    set("n-connections", isKnown ? numbers.connections + (most ? " of " + most : "") : "–",
      isKnown && most && numbers.connections > most * .8);
    set("n-tasks", numbers.tasks);
    const list = place("event-list");
    list.replaceChildren(...data.events.map(([ago, kind, words]) => {
      const item = document.createElement("li");
      for (const [name, text] of [["soft", `${Math.round(ago)} s ago`], [kind, kind], ["", words]]) {
        const part = document.createElement(name ? "span" : "bdi");
        part.className = name;
        part.textContent = text;
        item.appendChild(part);
      }
      return item;
    }));
  });
  stream.addEventListener("traces", event => {
    const data = JSON.parse(event.data), failed = data.traces.filter(one => one.flags & 1).length;
    traces.update(data);
    place("trace-told").textContent = `${data.traces.length} of ${data.total} traces of the last `
      + `minutes are here, ${failed} of the ${data.failed} that failed.`;
  });
  stream.addEventListener("end", () => { stream.close(); state("watching has ended", false); });
  stream.onerror = () => { state("the stream broke; is hikkoshi watch still running?", false); };
})();
