"use strict";
// Charts as SVG: lines with their values on hover or by arrow keys, and the table behind each.

const charts = (() => {
  const COLOURS = ["--one", "--two", "--three", "--four", "--five", "--six"];
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes = {}, ...children) {
    const found = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
    found.append(...children);
    return found;
  }

  function shape(name, attributes, text) {
    const found = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) found.setAttribute(key, value);
    if (text !== undefined) found.textContent = text;
    return found;
  }

  function table(caption, heads, rows) {
    const found = element("table", {}, element("caption", {}, caption));
    const head = element("tr");
    for (const text of heads) head.append(element("th", {scope: "col"}, String(text)));
    found.append(element("thead", {}, head));
    const body = element("tbody");
    for (const row of rows) {
      const line = element("tr");
      row.forEach((cell, i) => line.append(element(i ? "td" : "th", i ? {} : {scope: "row"}, String(cell))));
      body.append(line);
    }
    found.append(body);
    return element("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": caption}, found);
  }

  const behind = (...parts) => element("details", {}, element("summary", {}, "The numbers"), table(...parts));

  // about five round numbers from low to high
  function ticks(low, high) {
    const rough = (high - low) / 5 || 1, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find(n => n * power >= rough) * power, found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
    return found;
  }

  const short = value => Number(value.toPrecision(6)).toString();
  const percent = value => `${(100 * value).toFixed(1)} %`;
  const number = value => value === null ? "–" : Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3)
    ? value.toExponential(2) : String(Number(value.toPrecision(4)));

  const W = 480, H = 260, LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 36;

  // series: [{name, x: [], y: [], kind: "line" | "dashed" | "points", colour}]
  function plot({title, series, xlabel, ylabel, format = number, low, high, diagonal, equal, named}) {
    series = series.filter(s => s.y.some(v => v !== null));
    const all = name => series.flatMap(s => s[name]).filter(v => v !== null && Number.isFinite(v));
    let [x0, x1] = [Math.min(...all("x")), Math.max(...all("x"))];
    let [y0, y1] = [low ?? Math.min(...all("y")), high ?? Math.max(...all("y"))];
    if (equal) { x0 = y0 = Math.min(x0, y0); x1 = y1 = Math.max(x1, y1); }
    if (x0 === x1) { x0 -= 0.5; x1 += 0.5; }
    if (y0 === y1) { y0 -= 0.5; y1 += 0.5; }
    const X = x => LEFT + (x - x0) / (x1 - x0) * (W - LEFT - RIGHT);
    const Y = y => H - BOTTOM - (y - y0) / (y1 - y0) * (H - TOP - BOTTOM);
    const svg = shape("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", tabindex: "0", "aria-label": title});
    for (const t of ticks(y0, y1)) {
      svg.append(shape("line", {class: "grid", x1: LEFT, x2: W - RIGHT, y1: Y(t), y2: Y(t)}));
      svg.append(shape("text", {x: LEFT - 6, y: Y(t) + 4, "text-anchor": "end"}, format === percent ? `${short(100 * t)} %` : short(t)));
    }
    for (const t of ticks(x0, x1)) svg.append(shape("text", {x: X(t), y: H - BOTTOM + 16, "text-anchor": "middle"}, short(t)));
    svg.append(shape("line", {class: "axis", x1: LEFT, x2: W - RIGHT, y1: H - BOTTOM, y2: H - BOTTOM}));
    svg.append(shape("text", {x: (W + LEFT) / 2, y: H - 4, "text-anchor": "middle"}, xlabel));
    if (diagonal) svg.append(shape("line", {class: "hover", x1: X(Math.max(x0, y0)), y1: Y(Math.max(x0, y0)), x2: X(Math.min(x1, y1)), y2: Y(Math.min(x1, y1))}));
    series.forEach((s, i) => {
      s.colour = s.colour || COLOURS[i % COLOURS.length];
      const places = s.x.map((x, k) => s.y[k] === null || !Number.isFinite(s.y[k]) ? null : [X(x), Y(Math.min(Math.max(s.y[k], y0), y1))]);
      const style = `stroke: var(${s.colour}); fill: none; stroke-width: 2`;
      if (s.kind === "points" || places.length === 1)
        for (const p of places) { if (p) svg.append(shape("circle", {cx: p[0], cy: p[1], r: s.r || 3, style: `fill: var(${s.colour}); fill-opacity: ${s.faint ? 0.45 : 1}`})); }
      else svg.append(shape("polyline", {points: places.filter(Boolean).map(p => p.map(v => v.toFixed(1)).join()).join(" "),
        style: style + (s.kind === "dashed" ? "; stroke-dasharray: 5 4" : "")}));
    });
    const values = element("p", {class: "values", "aria-live": "polite"});
    hover(svg, values, series, X, xlabel, format);
    const legend = element("ul", {class: "legend"});
    if (series.length > 1 || named) for (const s of series) {
      const key = shape("svg", {viewBox: "0 0 28 10", "aria-hidden": "true"});
      key.append(s.kind === "points" ? shape("circle", {cx: 14, cy: 5, r: 4, style: `fill: var(${s.colour})`})
        : shape("line", {x1: 0, x2: 28, y1: 5, y2: 5, style: `stroke: var(${s.colour}); stroke-width: 3` + (s.kind === "dashed" ? "; stroke-dasharray: 5 4" : "")}));
      legend.append(element("li", {}, key, " ", s.name));
    }
    const xs = [...new Set(series.flatMap(s => s.x))].sort((a, b) => a - b), few = thinned(xs, 60);
    const lookup = series.map(s => new Map(s.x.map((x, k) => [x, s.y[k]])));
    const rows = few.map(x => [number(x), ...lookup.map(m => m.has(x) && m.get(x) !== null ? format(m.get(x)) : "")]);
    const name = few.length < xs.length ? `${title} (${few.length} of ${xs.length} rows)` : title;
    return element("figure", {}, element("figcaption", {}, element("b", {}, title), ylabel ? `: ${ylabel}` : ""),
      svg, values, ...(legend.children.length ? [legend] : []), behind(name, [xlabel, ...series.map(s => s.name)], rows));
  }

  const thinned = (xs, most) => xs.length <= most ? xs
    : Array.from({length: most}, (_, i) => xs[Math.round(i * (xs.length - 1) / (most - 1))]);

  // the values at the nearest x, by pointer or by the arrow keys
  function hover(svg, values, series, X, xlabel, format) {
    const lines = series.filter(s => s.kind !== "points" || series.length === 1);
    const xs = [...new Set((lines.length ? lines : series).flatMap(s => s.x))].sort((a, b) => a - b);
    const line = shape("line", {class: "hover", y1: TOP, y2: H - BOTTOM, visibility: "hidden"});
    let at = xs.length - 1;
    svg.append(line);
    const show = i => {
      at = Math.min(Math.max(i, 0), xs.length - 1);
      line.setAttribute("x1", X(xs[at])); line.setAttribute("x2", X(xs[at])); line.setAttribute("visibility", "visible");
      values.textContent = `${xlabel} ${number(xs[at])}: ` + series.map(s => {
        const k = s.x.indexOf(xs[at]);
        return k < 0 || s.y[k] === null ? null : `${series.length > 1 ? s.name + " " : ""}${format(s.y[k])}`;
      }).filter(Boolean).join(", ");
    };
    svg.addEventListener("pointermove", event => {
      const box = svg.getBoundingClientRect(), place = (event.clientX - box.left) / box.width * W;
      let best = 0;
      xs.forEach((x, i) => { if (Math.abs(X(x) - place) < Math.abs(X(xs[best]) - place)) best = i; });
      show(best);
    });
    svg.addEventListener("keydown", event => {
      const step = {ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity}[event.key];
      if (step === undefined) return;
      event.preventDefault();
      show(Math.min(Math.max(at + step, 0), xs.length - 1));
    });
    svg.addEventListener("focus", () => show(at));
  }

  function bars({title, x, y, xlabel, format = number}) {
    const most = Math.max(...y), svg = shape("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title});
    const width = (W - LEFT - RIGHT) / y.length;
    y.forEach((value, i) => {
      const height = value / most * (H - TOP - BOTTOM);
      const bar = shape("rect", {x: LEFT + i * width + 1, y: H - BOTTOM - height, width: Math.max(1, width - 2), height, style: "fill: var(--one)"});
      bar.append(shape("title", {}, `${number(x[i])}: ${format(value)}`));
      svg.append(bar);
    });
    [0, Math.floor(y.length / 2), y.length - 1].forEach(i => svg.append(
      shape("text", {x: LEFT + (i + 0.5) * width, y: H - BOTTOM + 16, "text-anchor": "middle"}, short(x[i]))));
    svg.append(shape("text", {x: (W + LEFT) / 2, y: H - 4, "text-anchor": "middle"}, xlabel));
    return element("figure", {}, element("figcaption", {}, element("b", {}, title)), svg,
      behind(title, [xlabel, "how many"], x.map((v, i) => [number(v), format(y[i])])));
  }

  return {element, table, behind, plot, bars, percent, number};
})();
