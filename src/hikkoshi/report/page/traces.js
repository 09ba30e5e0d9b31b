// Traces: search, list, waterfall, where the time went, logs, service map, two compared.
(() => {
  const MICRO = 1e-6, STEP = 30;
  const make = (name, className, text, parent) => {
    const node = document.createElement(name);
    if (className) node.className = className;
    if (text !== undefined && text !== null) node.textContent = text;
    if (parent) parent.appendChild(node);
    return node;
  };
  const SVG = "http://www.w3.org/2000/svg";
  const draw = (name, attributes, parent) => {
    const node = document.createElementNS(SVG, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (parent) parent.appendChild(node);
    return node;
  };
  const three = value => value >= 100 ? value.toFixed(0)
    : value >= 10 ? value.toFixed(1).replace(/\.0$/, "") : String(Number(value.toPrecision(2)));
  const span = seconds => {
    const size = Math.abs(seconds);
    if (!size) return "0";
    return size < 1e-3 ? three(size * 1e6) + " µs" : size < 1 ? three(size * 1e3) + " ms"
      : three(size) + " s";
  };
  const clock = t => new Date(t * 1000).toISOString().slice(11, 23);
  const percent = share => share > 0 && share < .01 ? "<1 %" : Math.round(share * 100) + " %";
  const plain = id => {
    const bare = id.toLowerCase().replace(/-/g, "");
    return bare.length === 33 && bare[0] === "1" ? bare.slice(1) : bare;
  };
  const copy = (text, words, parent) => {
    const button = make("button", "copy", words, parent);
    button.type = "button";
    button.addEventListener("click", async () => {
      let isDone = true;
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        const area = make("textarea", "", undefined, document.body);
        area.value = text;
        area.select();
        isDone = document.execCommand("copy");
        area.remove();
        button.focus();
      }
      button.textContent = isDone ? "copied" : "could not copy";
      setTimeout(() => { button.textContent = words; }, 1600);
    });
    return button;
  };

  hikkoshi.traces = first => {
    let data = first, limit = STEP, pinned = null, opened = null;
    const text = place => place < 0 ? "" : data.strings[place];
    const row = raw => ({ name: text(raw[0]), depth: raw[1], start: raw[2], length: raw[3],
      sum: raw[4], count: raw[5], fault: !!(raw[6] & 1), error: !!(raw[6] & 2),
      sql: text(raw[7]), cause: text(raw[8]), critical: raw[9], members: raw[10] });
    const isFailed = trace => !!(trace.flags & 1);
    // A joined trace is found by each of its ids.
    const ids = trace => [trace.id, ...(trace.ids || [])].map(plain);
    const find = id => data.traces.find(trace => ids(trace).includes(plain(id)));
    const label = one => one.sql ? one.sql.replace(/\s+/g, " ") : one.name;

    // one waterfall
    const waterfall = (trace, parent, isBrief) => {
      const rows = trace.rows.map(row), table = make("div", "water", undefined, parent);
      table.setAttribute("role", "list");
      table.setAttribute("aria-label", "Waterfall: what the request did, and when");
      rows.forEach(one => {
        const item = make("div", "", undefined, table);
        item.setAttribute("role", "listitem");
        const line = make("details", "step", undefined, item);
        const head = make("summary", "", undefined, line);
        const title = make("span", "what d" + Math.min(one.depth, 8), undefined, head);
        if (one.fault) make("span", "broken", "✗ ", title);
        else if (one.error) make("span", "warned", "! ", title);
        make("bdi", one.sql ? "mono" : "", label(one), title);
        if (one.count > 1) make("strong", "times", "×" + one.count, title);
        const lane = draw("svg", { class: "lane", viewBox: "0 0 1000 16",
          preserveAspectRatio: "none", "aria-hidden": "true" }, head);
        const x = micro => trace.d ? micro / trace.d * 1000 : 0;
        const kind = one.fault ? "bar fault" : one.sql ? "bar data" : "bar";
        if (one.members.length) {
          draw("rect", { class: "ghost", x: x(one.start), y: 7, height: 2,
            width: Math.max(2, x(one.length)) }, lane);
          for (let k = 0; k < one.members.length; k += 2) {
            draw("rect", { class: kind, x: x(one.members[k]), y: 3, height: 10,
              width: Math.max(1.5, x(one.members[k + 1])) }, lane);
          }
        } else {
          draw("rect", { class: kind, x: x(one.start), y: 3, height: 10,
            width: Math.max(2, x(one.length)) }, lane);
        }
        if (one.critical > trace.d * .02) {
          draw("rect", { class: "critical", x: x(one.start), y: 14, height: 2,
            width: Math.max(2, Math.min(x(one.length), x(one.critical))) }, lane);
        }
        make("span", "num", span(one.sum * MICRO), head);
        const more = make("div", "more", undefined, line);
        if (one.cause) make("pre", "cause", one.cause, more);
        if (one.sql) {
          const shell = make("div", "statement", undefined, more);
          make("pre", "", one.sql, shell);
          copy(one.sql, "copy SQL", shell);
        }
        const told = [one.name, `begins at ${span(one.start * MICRO)}`,
          one.count > 1 ? `${one.count} calls, one ${span(one.sum / one.count * MICRO)} on average`
            : `takes ${span(one.length * MICRO)}`,
          `the request waited ${span(one.critical * MICRO)} for this alone`];
        make("p", "small soft", told.join(" · "), more);
        if (one.cause && !isBrief) line.open = true;
      });
      if (trace.more) {
        make("p", "small soft", `and ${trace.more} more rows, in evidence.duckdb`, parent);
      }
    };

    // where the time went: the critical path by row
    const spent = trace => {
      const sums = new Map();
      for (const one of trace.rows.map(row)) {
        const key = label(one);
        const known = sums.get(key) || { key, sql: !!one.sql, micro: 0, count: 0 };
        known.micro += one.critical; known.count += one.count;
        sums.set(key, known);
      }
      return [...sums.values()].filter(one => one.micro > 0).sort((a, b) => b.micro - a.micro);
    };
    const pathBar = (trace, parent) => {
      const parts = spent(trace).slice(0, 4);
      if (!parts.length || !trace.d) return;
      make("h4", "", "Where the time went (critical path)", parent);
      const bar = draw("svg", { class: "share", viewBox: "0 0 1000 14",
        preserveAspectRatio: "none", "aria-hidden": "true" }, parent);
      let at = 0;
      const list = make("ol", "spent", undefined, parent);
      parts.forEach((part, place) => {
        const width = part.micro / trace.d * 1000;
        draw("rect", { class: "f" + place, x: at, y: 0, width: Math.max(1, width), height: 14 }, bar);
        at += width;
        const item = make("li", "", undefined, list);
        make("span", "dot f" + place, undefined, item);
        make("strong", "", percent(part.micro / trace.d), item);
        make("bdi", part.sql ? "mono" : "", part.key, item);
        if (part.count > 1) make("span", "times", "×" + part.count, item);
        make("span", "soft", span(part.micro * MICRO), item);
      });
    };

    const badge = (trace, parent) => {
      const isBad = isFailed(trace), isWarned = trace.flags & 2;
      make("span", "word " + (isBad ? "broke" : isWarned ? "likely" : "held"),
        (isBad ? "✗ " : isWarned ? "! " : "✓ ") + (trace.status || (isBad ? "fault" : "done")),
        parent);
    };
    const link = (trace, words, parent) => {
      const anchor = make("a", "", undefined, parent);
      anchor.href = "#trace=" + encodeURIComponent(trace.id);
      make("bdi", "", words, anchor);
      return anchor;
    };

    // the opened one
    const panel = document.getElementById("trace");
    const typical = trace => {
      const alike = data.traces.filter(one => one.endpoint === trace.endpoint && !isFailed(one)
        && one.id !== trace.id).sort((a, b) => a.d - b.d);
      const fair = alike.filter(one => one.why === "sample");
      const from = fair.length > 2 ? fair : alike;
      return from[Math.floor(from.length / 2)];
    };
    const show = (trace, isMoved) => {
      opened = trace;
      panel.hidden = false;
      panel.replaceChildren();
      const head = make("header", "", undefined, panel);
      badge(trace, head);
      const title = make("h3", "", undefined, head);
      title.tabIndex = -1;
      make("bdi", "", text(trace.title), title);
      make("strong", "big", span(trace.d * MICRO), head);
      const about = make("p", "small soft ids", undefined, panel);
      make("bdi", "mono", trace.id, about);
      copy(trace.id, "copy id", about);
      make("span", "", `${clock(trace.t)} UTC · ${trace.n} spans · ${text(trace.service)}`, about);
      const tools = make("div", "bar", undefined, panel);
      const button = (words, action) => {
        const one = make("button", "", words, tools);
        one.type = "button";
        one.addEventListener("click", action);
      };
      button("close", () => { location.hash = "traces"; });
      const other = typical(trace);
      if (other) button("compare with a typical one", () => { pinned = other; show(trace, false); });
      if (pinned && pinned.id !== trace.id) {
        button("stop comparing", () => { pinned = null; show(trace, false); });
      } else {
        button(pinned ? "chosen; open another" : "compare with another…", () => {
          pinned = trace; show(trace, false);
        });
      }
      if (pinned && pinned.id !== trace.id) compare(pinned, trace, panel);
      pathBar(trace, panel);
      make("h4", "", "Waterfall", panel);
      make("p", "small soft", "The thin line under a bar is how long the request waited for that "
        + "alone. A row opens to its SQL and its error.", panel);
      waterfall(trace, panel, false);
      make("h4", "", `Log lines of this trace (${trace.lines.length})`, panel);
      if (trace.lines.length) {
        const box = make("pre", "logs", undefined, panel);
        box.tabIndex = 0;
        for (const [t, from, line] of trace.lines) {
          make("span", "soft", `+${span(t) === "0" ? "0 s" : span(t)} ${text(from)}  `, box);
          box.append(text(line) + "\n");
        }
      } else {
        make("p", "small soft", "No line carries its id: write the trace id into each line, and "
          + "its lines stand here.", panel);
      }
      if (isMoved) {
        panel.scrollIntoView({ block: "start" });
        title.focus({ preventScroll: true });
      }
      mark();
    };
    const compare = (a, b, parent) => {
      const sums = trace => {
        const found = new Map();
        for (const one of trace.rows.map(row)) {
          const key = label(one).replace(/\d+/g, "#");
          const known = found.get(key) || { key: label(one), sql: !!one.sql, count: 0, micro: 0 };
          known.count += one.count; known.micro += one.sum;
          found.set(key, known);
        }
        return found;
      };
      make("h4", "", "Compared", parent);
      const box = make("div", "wide", undefined, parent);
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", "Compared");
      const table = make("table", "compared", undefined, box);
      const heads = make("tr", "", undefined, make("thead", "", undefined, table));
      for (const [words, trace] of [["Step", null], ["other", a], ["this", b], ["difference", null]]) {
        const cell = make("th", words === "Step" ? "" : "num", undefined, heads);
        cell.scope = "col";
        if (trace && trace !== b) link(trace, `${words}: ${span(trace.d * MICRO)}`, cell);
        else cell.append(trace ? `${words}: ${span(trace.d * MICRO)}` : words);
      }
      const left = sums(a), right = sums(b), body = make("tbody", "", undefined, table);
      const keys = [...new Set([...left.keys(), ...right.keys()])];
      const far = key => (right.get(key)?.micro || 0) - (left.get(key)?.micro || 0);
      keys.sort((one, two) => Math.abs(far(two)) - Math.abs(far(one)));
      for (const key of keys.slice(0, 14)) {
        const line = make("tr", "", undefined, body), known = left.get(key) || right.get(key);
        const cell = make("th", known.sql ? "mono" : "", undefined, line);
        cell.scope = "row";
        make("bdi", "", known.key, cell);
        for (const side of [left.get(key), right.get(key)]) {
          make("td", "num", side ? span(side.micro * MICRO)
            + (side.count > 1 ? ` (×${side.count})` : "") : "–", line);
        }
        const difference = far(key);
        make("td", "num" + (difference > 0 ? " broken" : ""), (difference > 0 ? "+" : "−")
          + span(difference * MICRO), line);
      }
    };

    // search and list
    const form = document.getElementById("trace-search");
    const input = name => form.querySelector(`[name=${name}]`);
    const field = name => input(name).value.trim();
    const found = () => {
      const words = field("words").toLowerCase(), id = plain(field("words"));
      const least = Number(field("least") || 0) * 1000, status = field("status");
      const endpoint = field("endpoint"), order = field("order");
      const hits = data.traces.filter(trace => {
        if (trace.d < least) return false;
        if (endpoint && text(trace.endpoint) !== endpoint) return false;
        if (status === "failed" && !isFailed(trace)) return false;
        if (status === "good" && (isFailed(trace) || trace.flags)) return false;
        if (/^\d$/.test(status) && Math.floor((trace.status || 0) / 100) !== Number(status)) return false;
        if (!words) return true;
        if (id.length > 7 && ids(trace).some(one => one.includes(id))) return true;
        return text(trace.title).toLowerCase().includes(words)
          || text(trace.service).toLowerCase().includes(words)
          || trace.rows.some(one => text(one[0]).toLowerCase().includes(words)
            || text(one[7]).toLowerCase().includes(words)
            || text(one[8]).toLowerCase().includes(words));
      });
      const slower = (a, b) => b.d - a.d || (a.id < b.id ? -1 : 1);
      return hits.sort(order === "slow" ? slower : order === "new" ? (a, b) => b.t - a.t
        : (a, b) => (isFailed(b) - isFailed(a)) || slower(a, b));
    };
    const list = document.getElementById("trace-list");
    const told = document.getElementById("trace-count");
    const more = document.getElementById("trace-more");
    const render = () => {
      const hits = found(), longest = Math.max(1, ...hits.map(trace => trace.d));
      list.replaceChildren();
      for (const trace of hits.slice(0, limit)) {
        const line = make("tr", "", undefined, list);
        line.dataset.id = trace.id;
        const state = make("td", "", undefined, line);
        badge(trace, state);
        const time = make("td", "num", undefined, line);
        make("span", "", span(trace.d * MICRO), time);
        const lane = draw("svg", { class: "mini", viewBox: "0 0 100 4", preserveAspectRatio: "none",
          "aria-hidden": "true" }, time);
        draw("rect", { class: isFailed(trace) ? "bar fault" : "bar", x: 0, y: 0, height: 4,
          width: Math.max(1, trace.d / longest * 100) }, lane);
        const name = make("td", "name", undefined, line);
        link(trace, text(trace.title), name);
        const most = trace.rows.reduce((best, one) => one[5] > best[5] ? one : best, trace.rows[0]);
        if (most && most[5] > 1) {
          const hint = make("span", "small soft repeated", undefined, name);
          make("strong", "times", "×" + most[5], hint);
          make("bdi", "mono", text(most[7] < 0 ? most[0] : most[7]), hint);
        }
        make("td", "num soft", `${trace.n}`, line);
        make("td", "num soft when", clock(trace.t).slice(0, 8), line);
      }
      told.textContent = hits.length ? `${hits.length} found` : "none found; widen the search";
      more.hidden = hits.length <= limit;
      more.textContent = `show ${Math.min(STEP * 2, hits.length - limit)} more`;
      mark();
    };
    const mark = () => {
      for (const line of list.children) {
        line.classList.toggle("chosen", opened !== null && line.dataset.id === opened.id);
      }
    };
    more.addEventListener("click", () => { limit += STEP * 2; render(); });
    input("words").addEventListener("keydown", event => {
      if (event.key !== "Enter") return;
      const [only] = found();
      const id = plain(field("words"));
      if (only && id.length > 7 && ids(only).some(one => one.includes(id))) {
        location.hash = "trace=" + encodeURIComponent(only.id);
      }
    });
    form.addEventListener("input", () => { limit = STEP; render(); });
    const fill = () => {
      const select = input("endpoint"), chosen = select.value;
      const counted = new Map();
      for (const trace of data.traces) {
        counted.set(text(trace.endpoint), (counted.get(text(trace.endpoint)) || 0) + 1);
      }
      select.replaceChildren();
      make("option", "", "every endpoint", select).value = "";
      for (const name of [...counted.keys()].sort()) {
        const option = make("option", "", `${name} (${counted.get(name)})`, select);
        option.value = name;
      }
      select.value = counted.has(chosen) ? chosen : "";
    };

    // the service map
    const map = document.getElementById("service-map");
    const kinds = { service: "service", database: "database", remote: "outside" };
    const drawMap = () => {
      map.replaceChildren();
      const key = (name, kind) => kind + " " + name, nodes = new Map();
      const node = (name, kind, depth) => {
        const id = key(name, kind), known = nodes.get(id);
        if (known) known.depth = Math.max(known.depth, Math.min(depth, 6));
        else nodes.set(id, { name, kind, depth });
        return id;
      };
      const depths = new Map([["", 0]]);
      for (let round = 0; round < 5; round += 1) {
        for (const edge of data.map) {
          if (edge.kind === "service" && edge.caller !== edge.called && !depths.has(edge.called)
            && depths.has(edge.caller)) depths.set(edge.called, depths.get(edge.caller) + 1);
        }
      }
      const edges = data.map.map(edge => {
        const at = depths.get(edge.caller) ?? 1;
        return { ...edge,
          from: edge.caller ? node(edge.caller, "service", at) : node("requests", "client", 0),
          to: node(edge.called, edge.kind, edge.kind === "service"
            ? depths.get(edge.called) ?? at + 1 : at + 1) };
      });
      if (!edges.length) return;
      const columns = [];
      for (const one of nodes.values()) (columns[one.depth] ||= []).push(one);
      const filled = columns.filter(Boolean), W = 170, H = 52, GAP = 184, ROW = 84;
      const tall = Math.max(...filled.map(column => column.length)) * ROW;
      const width = filled.length * (W + GAP) - GAP + 4;
      filled.forEach((column, place) => column.forEach((one, index) => {
        one.x = 2 + place * (W + GAP);
        one.y = (tall - column.length * ROW) / 2 + index * ROW + (ROW - H) / 2;
      }));
      const picture = draw("svg", { viewBox: `0 0 ${width} ${tall}`, width, height: tall,
        role: "img", "aria-label": "Service map: " + edges.map(e =>
          `${e.caller || "requests"} to ${e.called}, ${e.calls} calls, ${e.faults} failed`).join("; ")
      }, map);
      for (const edge of edges) {
        const a = nodes.get(edge.from), b = nodes.get(edge.to);
        const x1 = a.x + W, y1 = a.y + H / 2, x2 = b.x, y2 = b.y + H / 2, m = (x1 + x2) / 2;
        const share = edge.calls ? edge.faults / edge.calls : 0;
        draw("path", { class: "edge" + (share > .01 ? " bad" : ""),
          "stroke-width": 1 + Math.min(4, Math.log10(edge.calls + 1)),
          d: `M${x1} ${y1}C${m} ${y1} ${m} ${y2} ${x2} ${y2}` }, picture);
        const middle = (y1 + y2) / 2;
        const write = (words, y, className) => {
          draw("text", { class: className, x: m, y, "text-anchor": "middle" }, picture)
            .textContent = words;
        };
        write(`${edge.calls.toLocaleString("en")} calls` + (share ? `, ${percent(share)} failed` : ""),
          middle - 8, share ? "bad" : "");
        write(`p50 ${span(edge.p50_s)} · p95 ${span(edge.p95_s)}`, middle + 18, "");
      }
      for (const one of nodes.values()) {
        draw("rect", { class: "node " + one.kind, x: one.x, y: one.y, width: W, height: H, rx: 9 },
          picture);
        const short = one.name.length > 22 ? one.name.slice(0, 21) + "…" : one.name;
        draw("text", { class: "name", x: one.x + W / 2, y: one.y + 23, "text-anchor": "middle" },
          picture).textContent = short;
        draw("text", { x: one.x + W / 2, y: one.y + 40, "text-anchor": "middle" }, picture)
          .textContent = kinds[one.kind] || "load generator";
      }
    };

    const follow = isMoved => {
      const match = /^#trace=(.+)$/.exec(location.hash);
      if (!match) { panel.hidden = true; opened = null; mark(); return; }
      const id = decodeURIComponent(match[1]), trace = find(id);
      if (trace) { show(trace, isMoved); return; }
      opened = null;
      panel.hidden = false;
      panel.replaceChildren();
      make("p", "", `Trace ${id} is not among those in this page. It may be in evidence.duckdb: `
        + `hikkoshi query "SELECT * FROM spans WHERE trace_id = '…'"`, panel);
      if (isMoved) panel.scrollIntoView({ block: "start" });
    };
    addEventListener("hashchange", () => follow(true));
    fill(); render(); drawMap(); follow(true);
    const update = fresh => {
      data = fresh;
      drawMap();
      // Who is at a row of the list with the keyboard keeps it.
      if (list.contains(document.activeElement)) return;
      fill(); render();
    };
    return { update, waterfall, find };
  };
})();
