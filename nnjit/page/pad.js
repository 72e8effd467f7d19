"use strict";
// The pad: what is drawn is centred and scaled as MNIST's digits are, and answered while it is drawn.

const pad = (() => {
  const $ = id => document.getElementById(id);
  const BRUSH = 1.15, SIDE = 20;                        // pixels; MNIST's digits fit into 20 by 20
  let run, network, h, w, C, strokes, pixels, cursor, label = null;

  // ---- images ----------------------------------------------------------------------------------------------

  const GLOW = ["#a6dcff", "#3d9be0", "#0d4f94", "#07090f", "#9a3206", "#f0842a", "#ffdc96"].map(
    text => [1, 3, 5].map(i => parseInt(text.slice(i, i + 2), 16)));

  // a colour for -1 … 1: dark at 0, blue below, orange above
  function glow(value) {
    const place = (Math.max(-1, Math.min(1, value)) + 1) * 3, i = Math.min(5, Math.floor(place));
    return GLOW[i].map((c, k) => c + (GLOW[i + 1][k] - c) * (place - i));
  }

  function paint(canvas, rows, columns, colour) {
    canvas.width = columns; canvas.height = rows;
    const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
    for (let i = 0; i < rows * columns; i++) image.data.set([...colour(i), 255], 4 * i);
    context.putImageData(image, 0, 0);
  }

  // an image of bytes (h, w, C)
  function show(canvas, bytes, [rows, columns, channels = 1]) {
    paint(canvas, rows, columns, i => channels === 3 ? bytes.subarray(3 * i, 3 * i + 3) : Array(3).fill(bytes[i * channels]));
  }

  // ---- as MNIST's ------------------------------------------------------------------------------------------

  // The ink fits into 20 by 20 pixels, and its centre of mass lies in the middle.
  function centred(ink) {
    let top = h, left = w, bottom = -1, right = -1;
    ink.forEach((value, i) => {
      if (value < 0.05) return;
      const y = Math.floor(i / w), x = i % w;
      top = Math.min(top, y); bottom = Math.max(bottom, y); left = Math.min(left, x); right = Math.max(right, x);
    });
    if (bottom < 0) return ink;
    const scale = Math.min(SIDE / (bottom - top + 1), SIDE / (right - left + 1));
    let sum = 0, my = 0, mx = 0;
    ink.forEach((value, i) => { sum += value; my += value * Math.floor(i / w); mx += value * (i % w); });
    const cy = my / sum, cx = mx / sum, found = new Float32Array(h * w);
    const at = (y, x) => y < 0 || x < 0 || y >= h || x >= w ? 0 : ink[y * w + x];
    for (let i = 0; i < h; i++) for (let j = 0; j < w; j++) {
      const y = cy + (i - (h - 1) / 2) / scale, x = cx + (j - (w - 1) / 2) / scale, a = Math.floor(y), b = Math.floor(x);
      found[i * w + j] = (at(a, b) * (b + 1 - x) + at(a, b + 1) * (x - b)) * (a + 1 - y)
        + (at(a + 1, b) * (b + 1 - x) + at(a + 1, b + 1) * (x - b)) * (y - a);
    }
    return found;
  }

  function dot(y, x) {
    const reach = Math.ceil(BRUSH) + 1;
    for (let i = Math.floor(y) - reach; i <= y + reach; i++) for (let j = Math.floor(x) - reach; j <= x + reach; j++) {
      if (i < 0 || j < 0 || i >= h || j >= w) continue;
      const value = Math.max(0, Math.min(1, BRUSH + 0.5 - Math.hypot(i + 0.5 - y, j + 0.5 - x)));
      strokes[i * w + j] = Math.max(strokes[i * w + j], value);
    }
  }

  function line(from, to) {
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to[0] - from[0], to[1] - from[1])));
    for (let k = 0; k <= steps; k++) dot(from[0] + (to[0] - from[0]) * k / steps, from[1] + (to[1] - from[1]) * k / steps);
  }

  function drawn() { label = null; pixels = centred(strokes); answer(); }

  // ---- answering -------------------------------------------------------------------------------------------

  function answer() {
    const shown = C === 1 ? (label === null ? strokes : pixels) : null;
    if (shown) paint($("pad"), h, w, i => Array(3).fill(255 * shown[i]));
    else paint($("pad"), h, w, i => [0, 1, 2].map(c => 255 * pixels[C * i + c]));
    mark();
    const empty = !pixels.some(value => value > 0), T = 2 ** $("temperature").value;
    $("temperature-value").textContent = T >= 1 ? String(+T.toFixed(2)) : `1/${+(1 / T).toFixed(2)}`;
    const outputs = network.outputs(pixels), z = [...outputs[outputs.length - 1]];
    const p = network.decide(z, T, $("sigmoids").checked), best = p.indexOf(Math.max(...p));
    $("answer").textContent = empty ? "–" : run.classes[best];
    $("truth").textContent = label === null || empty ? "" : ` (it is ${run.classes[label]})`;
    $("probabilities").querySelectorAll("li").forEach((item, k) => {
      item.dataset.p = p[k];
      item.querySelector("i").style.width = `${100 * p[k]}%`;
      item.lastChild.textContent = `${(100 * p[k]).toFixed(1)} %`;
    });
    evidence(best, empty);
    light(outputs);
  }

  function evidence(k, empty) {
    const values = empty ? new Float32Array(h * w * C) : network.evidence(pixels, k), summed = [];
    for (let i = 0; i < h * w; i++) { summed[i] = 0; for (let c = 0; c < C; c++) summed[i] += values[i * C + c]; }
    const most = Math.max(...summed.map(Math.abs)) || 1;
    // over the drawing, which shows through in grey where nothing is said
    paint($("evidence"), h, w, i => {
      let ink = 0;
      for (let c = 0; c < C; c++) ink += 70 * pixels[i * C + c] / C;
      return glow(summed[i] / most).map(value => Math.max(value, ink));
    });
  }

  // the first hidden layer's outputs, a cell for a unit; of a convolution a cell for a pixel, map by map
  function light(outputs) {
    const i = network.layers.findIndex(l => l.kind === "Dense" || l.kind === "Conv2D");
    const hidden = network.layers.length > i + 1 && i >= 0;
    $("hidden-units").hidden = !hidden;
    if (!hidden) return;
    const layer = network.layers[i], next = network.layers[i + 1], a = outputs[next.kind === "Dense" ? i + 1 : i + 2];
    const most = Math.max(...Array.from(a, Math.abs)) || 1;
    if (layer.kind === "Dense") {
      const columns = Math.min(a.length, 50), rows = Math.ceil(a.length / columns);
      paint($("units"), rows, columns, k => k < a.length ? glow(a[k] / most) : [128, 128, 128]);
      const firing = Array.from(a).filter(value => Math.abs(value) > 0.1 * most).length;
      $("units-caption").textContent = `The ${a.length} units of the first hidden layer: orange above 0, blue below, dark at 0. ${firing} of them are above a tenth of the largest.`;
    } else {
      const [rows, columns, K] = layer.output;
      paint($("units"), rows, columns * K, k => glow(a[(Math.floor(k / (columns * K)) * columns + k % columns) * K + Math.floor(k % (columns * K) / columns)] / most));
      $("units-caption").textContent = `The ${K} maps of the first convolution.`;
    }
  }

  // ---- hands -----------------------------------------------------------------------------------------------

  function mark() {
    if (document.activeElement !== $("pad") || !cursor.keys) return;
    const context = $("pad").getContext("2d");
    context.fillStyle = "#f0842a";
    context.fillRect(Math.floor(cursor.x), Math.floor(cursor.y), 1, 1);
  }

  function listen() {
    const canvas = $("pad");
    const place = event => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientY - box.top) / box.height * h, (event.clientX - box.left) / box.width * w];
    };
    let last = null;
    canvas.addEventListener("pointerdown", event => {
      if (C !== 1) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      if (label !== null) { strokes = new Float32Array(h * w); }
      cursor.keys = false;
      last = place(event);
      line(last, last); drawn();
    });
    canvas.addEventListener("pointermove", event => {
      if (!last) return;
      for (const each of event.getCoalescedEvents?.() || [event]) { const now = place(each); line(last, now); last = now; }
      drawn();
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { last = null; });
    canvas.addEventListener("keydown", event => {
      const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
      if (event.key === "Delete" || event.key === "Backspace") { event.preventDefault(); clear(); return; }
      if (!step || C !== 1) return;
      event.preventDefault();
      if (label !== null) { strokes = new Float32Array(h * w); label = null; }
      const before = [cursor.y, cursor.x];
      cursor = {y: Math.min(h - 0.5, Math.max(0.5, cursor.y + step[0])), x: Math.min(w - 0.5, Math.max(0.5, cursor.x + step[1])), keys: true};
      if (!event.shiftKey) line(before, [cursor.y, cursor.x]);
      drawn();
    });
    canvas.addEventListener("focus", () => { cursor.keys = true; answer(); });
    canvas.addEventListener("blur", () => { cursor.keys = false; answer(); });
    $("clear").addEventListener("click", clear);
    $("random").addEventListener("click", random);
    for (const id of ["temperature", "sigmoids"]) $(id).addEventListener("input", answer);
  }

  function clear() {
    strokes = new Float32Array(h * w); pixels = new Float32Array(h * w * C); label = null;
    cursor = {y: h / 2, x: w / 2, keys: cursor?.keys};
    answer();
  }

  function random() {
    const n = run.images.labels.length, k = Math.floor(Math.random() * n), bytes = nets.bytes(run.images.bytes);
    pixels = Float32Array.from(bytes.subarray(k * h * w * C, (k + 1) * h * w * C), value => value / 255);
    strokes = C === 1 ? pixels : new Float32Array(h * w);
    label = run.images.labels[k];
    answer();
  }

  let listening = false;
  function begin(chosen) {
    run = chosen;
    $("draw").hidden = !run.network;
    if (!run.network) return;
    network = new nets.Network(run.network);
    [h, w, C = 1] = run.image_shape;
    $("sigmoids-line").hidden = run.network.head !== "Categorical";
    $("probabilities").replaceChildren(...run.classes.map((name, k) => {
      const bar = document.createElement("span"), item = document.createElement("li");
      bar.className = "bar"; bar.append(document.createElement("i"));
      item.dataset.class = k;
      const text = document.createElement("span"), value = document.createElement("span");
      text.textContent = name;
      item.append(text, bar, value);
      return item;
    }));
    if (!listening) { listen(); listening = true; }
    clear();
    window.nnjit = {
      logits: values => network.logits(values),
      probabilities: (values, T = 1, sigmoids = false) => network.probabilities(values, T, sigmoids),
      pixels: () => [...pixels],
    };
  }

  return {begin, show, paint, glow};
})();
