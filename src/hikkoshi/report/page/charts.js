"use strict";
// Charts on one time axis: timeline(host, data, {prefix, view, shade, buttons}).
const hikkoshi = {};
(() => {
  let made = 0;
  hikkoshi.timeline = (host, data, options = {}) => {
    const SVG = "http://www.w3.org/2000/svg";
    const LEFT = 54, RIGHT = 10, TOP = 14, HEIGHT = 118, FOOT = 18;
    const number = made += 1;
    let whole = options.view || [0, data.length];
    let view = whole.slice(), cursor = null, drag = null;

    const svg = (name, attributes, parent) => {
      const node = document.createElementNS(SVG, name);
      for (const key in attributes) node.setAttribute(key, attributes[key]);
      if (parent) parent.appendChild(node);
      return node;
    };
    const html = (name, className, text, parent) => {
      const node = document.createElement(name);
      if (className) node.className = className;
      if (text !== undefined) node.textContent = text;
      if (parent) parent.appendChild(node);
      return node;
    };
    const three = value => {
      const size = Math.abs(value);
      return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1).replace(/\.0$/, "")
        : String(Number(value.toPrecision(2)));
    };
    const show = (value, unit) => {
      if (value === null || value === undefined) return "–";
      if (unit === "s") return value < 1e-3 ? three(value * 1e6) + " µs"
        : value < 1 ? three(value * 1e3) + " ms" : three(value) + " s";
      if (unit === "share") return (value * 100).toFixed(0) + " %";
      return three(value) + (unit ? " " + unit : "");
    };
    const clock = seconds => {
      const m = Math.floor(Math.abs(seconds) / 60), s = Math.abs(seconds) - m * 60;
      const fine = view[1] - view[0] < 8 ? 1 : 0;
      return m + ":" + s.toFixed(fine).padStart(fine ? 4 : 2, "0");
    };
    const niceStep = (span, parts) => {
      const raw = span / parts, power = Math.pow(10, Math.floor(Math.log10(raw)));
      return [1, 2, 5, 10].map(x => x * power).find(x => x >= raw);
    };
    const timeSteps = [.1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600];
    const timeStep = (span, parts) => timeSteps.find(x => x >= span / parts) || 86400;
    // The last point at or before x, unless it is too far away to mean anything.
    const at = (points, x, isSteps) => {
      let low = 0, high = points.length - 1, best = -1;
      while (low <= high) {
        const middle = (low + high) >> 1;
        if (points[middle][0] <= x) { best = middle; low = middle + 1; } else high = middle - 1;
      }
      const next = points[best + 1];
      if (best < 0) return next && next[0] - x < data.bucket ? next[1] : null;
      if (isSteps) return points[best][1];
      if (next && next[0] - x < x - points[best][0]) best += 1;
      return Math.abs(points[best][0] - x) > Math.max(3, data.bucket * 3) ? null : points[best][1];
    };

    const chartOf = spec => {
      const figure = html("figure", "chart", undefined, host);
      const caption = html("figcaption", "", undefined, figure);
      html("strong", "", spec.title, caption);
      const values = html("span", "", undefined, caption);
      values.style.display = "contents";
      const picture = svg("svg", { height: HEIGHT, role: "img", "aria-label": spec.summary }, figure);
      const chart = { spec, values, picture };
      listen(chart);
      return chart;
    };

    const bounds = spec => {
      let top = 0, low = Infinity;
      for (const series of spec.series) for (const [x, y] of series.points) {
        if (y === null || x < view[0] - data.bucket || x > view[1] + data.bucket) continue;
        if (y > top) top = y;
        if (y > 0 && y < low) low = y;
      }
      if (spec.limit && (spec.always || top > spec.limit * .4)) top = Math.max(top, spec.limit);
      return [low, top || 1];
    };

    const scaleOf = spec => {
      const [low, top] = bounds(spec), plot = HEIGHT - FOOT - TOP;
      if (spec.log && top / low > 30) {
        const a = Math.floor(Math.log10(low)), b = Math.log10(top * 1.1);
        const ticks = [];
        for (let power = a; power <= b; power += 1) ticks.push(Math.pow(10, power));
        return { y: v => TOP + plot * (1 - (Math.log10(Math.max(v, Math.pow(10, a))) - a) / (b - a)),
          ticks };
      }
      const step = spec.whole ? Math.max(1, niceStep(top, 3)) : niceStep(top, 3);
      const ticks = [];
      for (let v = 0; v <= top * 1.001; v += step) ticks.push(v);
      return { y: v => TOP + plot * (1 - v / (top * 1.06)), ticks };
    };

    const draw = chart => {
      const { spec, picture } = chart;
      const width = Math.max(240, picture.clientWidth || 900);
      const base = HEIGHT - FOOT, span = view[1] - view[0];
      const x = t => LEFT + (width - LEFT - RIGHT) * (t - view[0]) / span;
      const { y, ticks } = scaleOf(spec);
      picture.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      picture.replaceChildren();
      const clip = `clip-${number}-${spec.id}`;
      const hole = svg("clipPath", { id: clip }, picture);
      svg("rect", { x: LEFT, y: 0, width: width - LEFT - RIGHT, height: HEIGHT }, hole);
      const inside = svg("g", { "clip-path": `url(#${clip})` }, picture);
      data.bands.forEach((band, place) => {
        const isBroken = band.outcome === "broke";
        if (place % 2 && !isBroken) return;
        svg("rect", { class: isBroken ? "band broken-band" : "band", x: x(band.start), y: TOP,
          width: Math.max(0, x(band.end) - x(band.start)), height: base - TOP }, inside);
      });
      if (options.shade) {
        svg("rect", { class: "evidence", x: x(options.shade[0]), y: TOP,
          width: Math.max(2, x(options.shade[1]) - x(options.shade[0])), height: base - TOP }, inside);
      }
      for (const tick of ticks) {
        svg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick) }, picture);
        svg("text", { x: LEFT - 6, y: y(tick) + 4, "text-anchor": "end" }, picture)
          .textContent = show(tick, spec.unit);
      }
      const step = timeStep(span, width / 90);
      for (let t = Math.ceil(view[0] / step) * step; t <= view[1]; t += step) {
        svg("text", { x: x(t), y: HEIGHT - 4, "text-anchor": "middle" }, picture).textContent = clock(t);
      }
      if (spec.limit) {
        svg("line", { class: "limit", x1: LEFT, x2: width - RIGHT, y1: y(spec.limit),
          y2: y(spec.limit) }, inside);
      }
      for (const mark of data.marks) {
        svg("line", { class: "mark", x1: x(mark.t), x2: x(mark.t), y1: TOP, y2: base }, inside);
        svg("path", { class: "tip", d: `M${x(mark.t) - 4} ${TOP - 7}h8l-4 7z` }, inside);
      }
      spec.series.forEach((series, place) => {
        let path = "", pen = false, drawn = 0;
        for (const [t, v] of series.points) {
          if (v === null) { pen = false; continue; }
          path += (pen ? "L" : "M") + x(t).toFixed(1) + " " + y(v).toFixed(1);
          pen = true; drawn += 1;
        }
        if (drawn === 1) path += "h2";
        svg("path", { class: `line k${place % 6}${place % 2 ? " dash" : ""}`, d: path }, inside);
      });
      if (drag) {
        const [a, b] = [Math.min(drag[0], drag[1]), Math.max(drag[0], drag[1])];
        svg("rect", { class: "drag", x: x(a), y: TOP, width: x(b) - x(a), height: base - TOP }, inside);
      }
      if (cursor !== null) {
        svg("line", { class: "cursor", x1: x(cursor), x2: x(cursor), y1: TOP, y2: base }, inside);
      }
      legend(chart);
    };

    const legend = ({ spec, values }) => {
      values.replaceChildren();
      const rows = spec.series.map((series, place) => ({ series, place,
        value: cursor === null ? undefined : at(series.points, cursor, spec.steps) }));
      const alive = cursor === null ? rows : rows.filter(row => row.value !== null);
      for (const { series, place, value } of alive.slice(0, 8)) {
        const item = html("span", "", undefined, values);
        html("span", `swatch k${place % 6}`, undefined, item);
        item.append(series.name + (cursor === null ? "" : " " + show(value, spec.unit)));
      }
      if (alive.length > 8) html("span", "", `and ${alive.length - 8} more`, values);
      if (spec.limitName) html("span", "", `┄ ${spec.limitName}`, values);
      if (cursor !== null) {
        const band = data.bands.find(b => b.start <= cursor && cursor <= b.end);
        html("span", "", clock(cursor) + (band ? " " + band.title : ""), values);
      }
    };

    let waiting = false;
    const drawAll = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; charts.forEach(draw); });
    };
    const buttons = options.buttons || [];
    const zoom = (start, end) => {
      const least = Math.min(1, data.length);
      if (end - start < least) { const c = (start + end) / 2; start = c - least / 2; end = c + least / 2; }
      const span = Math.min(end - start, data.length);
      start = Math.min(Math.max(0, start), data.length - span);
      view = [start, start + span];
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(Math.abs(button.dataset.start - view[0]) < .01
          && Math.abs(button.dataset.end - view[1]) < .01));
      }
      drawAll();
    };
    for (const button of buttons) {
      button.addEventListener("click", () => zoom(Number(button.dataset.start), Number(button.dataset.end)));
    }

    const timeAt = (picture, event) => {
      const box = picture.getBoundingClientRect();
      const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
      return view[0] + Math.min(1, Math.max(0, share)) * (view[1] - view[0]);
    };
    function listen({ picture }) {
      picture.addEventListener("pointerdown", event => {
        cursor = timeAt(picture, event);
        if (event.pointerType === "mouse" && event.button === 0) {
          drag = [cursor, cursor];
          picture.setPointerCapture(event.pointerId);
        }
        drawAll();
      });
      picture.addEventListener("pointermove", event => {
        cursor = timeAt(picture, event);
        if (drag) drag[1] = cursor;
        drawAll();
      });
      picture.addEventListener("pointerup", () => {
        if (!drag) return;
        const [a, b] = [Math.min(...drag), Math.max(...drag)];
        drag = null;
        if (b - a > (view[1] - view[0]) / 100) zoom(a, b); else drawAll();
      });
      picture.addEventListener("pointercancel", () => { drag = null; drawAll(); });
      picture.addEventListener("pointerleave", () => { if (!drag) { cursor = null; drawAll(); } });
      picture.addEventListener("dblclick", () => zoom(...whole));
    }
    host.addEventListener("keydown", event => {
      const span = view[1] - view[0];
      const middle = cursor === null ? (view[0] + view[1]) / 2 : cursor;
      const move = step => {
        cursor = Math.min(data.length, Math.max(0, middle + step));
        if (cursor < view[0] || cursor > view[1]) zoom(cursor - span / 2, cursor + span / 2);
      };
      if (event.key === "ArrowLeft") move(-span / (event.shiftKey ? 10 : 100));
      else if (event.key === "ArrowRight") move(span / (event.shiftKey ? 10 : 100));
      else if (event.key === "+" || event.key === "=") zoom(middle - span / 4, middle + span / 4);
      else if (event.key === "-") zoom(middle - span, middle + span);
      else if (event.key === "0" || event.key === "Escape") { cursor = null; zoom(...whole); }
      else return;
      event.preventDefault();
      drawAll();
    });
    addEventListener("resize", drawAll);
    addEventListener("beforeprint", () => charts.forEach(draw));
    matchMedia("print").addEventListener("change", () => charts.forEach(draw));
    let charts = data.charts.map(chartOf);
    zoom(...whole);
    // At once, too: a page in the background, or one that is only printed, gets no animation frame.
    charts.forEach(draw);
    // Newer data on the same axis; who had zoomed in stays where he was.
    const update = fresh => {
      const wasWhole = view[0] === whole[0] && view[1] === whole[1];
      data = fresh;
      whole = [0, data.length];
      const known = charts.map(chart => chart.spec.id).join();
      if (known === data.charts.map(spec => spec.id).join()) {
        charts.forEach((chart, place) => { chart.spec = data.charts[place]; });
      } else {
        host.replaceChildren();
        charts = data.charts.map(chartOf);
      }
      if (wasWhole) zoom(...whole); else drawAll();
    };
    return { zoom, update };
  };
})();
