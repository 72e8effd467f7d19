"use strict";
// The page: every section from the data of the runs.

(() => {
  const {element, table, behind, plot, bars, percent, number} = charts;
  const page = JSON.parse(document.getElementById("data").textContent), runs = page.runs;
  const $ = id => document.getElementById(id);
  let run = runs[0];
  for (const each of runs) if (each.images !== undefined) each.images = page.shared[each.images];

  const fill = (id, ...parts) => {
    const section = $(id), found = parts.filter(Boolean);
    section.hidden = !found.length;
    section.querySelector("div").replaceChildren(...found);
  };
  const paragraph = (text, kind = "") => element("p", kind ? {class: kind} : {}, text);

  // ---- of all runs -----------------------------------------------------------------------------------------

  const metricName = () => ({accuracy: "accuracy", mae: "mean absolute error"}[run.metric] || run.metric);

  function result() {
    const metric = run.metric, format = metric === "accuracy" ? percent : number;
    const parts = [table("Results", ["run", "epochs", `test ${metricName()}`, run.part === "test" ? "best" : `best, ${run.part}`, "in epoch", `train ${metricName()}`, "test loss", "seconds"],
      runs.map(r => [r.name, r.results.epochs, ...[`test_${metric}`, `best_${r.part}_${metric}`].map(name => format(r.results[name] ?? null)),
        r.results.best_epoch, format(r.results[`train_${metric}`] ?? null), number(r.results.test_loss ?? null), number(r.results.seconds)]))];
    for (const r of runs) if (r.book) {
      const at = new Map(r.history.epoch.map((e, i) => [e, i])), spread = new Map(r.book.spread.map(row => [row.iteration, row]));
      const rows = r.book.printed.filter(row => at.has(row.iteration)).map(row => {
        const s = spread.get(row.iteration), i = at.get(row.iteration);
        return [row.iteration, percent(row.test), percent(r.history.test[i]), s ? `${percent(s.test_min)} – ${percent(s.test_max)}` : "",
          percent(row.train), percent(r.history.train[i]), s ? `${percent(s.train_min)} – ${percent(s.train_max)}` : ""];
      });
      const caption = `${r.name}: beside the book's table, and the spread over ${r.book.seeds} seeds`;
      const beside = table(caption, ["iteration", "book, test", "this run", "seeds", "book, train", "this run", "seeds"], rows);
      parts.push(runs.length > 1 ? element("details", {}, element("summary", {}, caption), beside) : beside);
    }
    for (const r of runs) if (r.compared) {
      const found = r.compared, score = {accuracy: "accuracy", rmse: "root mean squared error", mae: "mean absolute error"}[found.score];
      parts.push(table(`${runs.length > 1 ? `${r.name}: ` : ""}On ${found.tested} test rows`, ["", score],
        found.rows.map(([name, value]) => [name, found.score === "accuracy" ? percent(value) : number(value)])), paragraph(found.verdict));
    }
    if (page.difference) parts.push(paragraph(page.difference, "note"));
    fill("result", ...parts);
  }

  const during = () => `measured during the epoch${runs.some(r => r.drops) ? ", with dropout" : ""}`;

  function curves() {
    const several = runs.length > 1, name = (r, part) => several ? `${r.name}, ${part}` : part;
    const both = which => runs.flatMap((r, i) => [
      {name: name(r, r.part), x: r.history.epoch, y: r.history[which[0]], colour: several ? undefined : "--one"},
      ...(several ? [] : [{name: `train (${during()})`, x: r.history.epoch, y: r.history[which[1]], kind: "dashed", colour: "--two"}])]);
    const printed = runs.length === 1 && run.book ? [{name: "printed in the book, test", x: run.book.printed.map(p => p.iteration), y: run.book.printed.map(p => p.test), kind: "points", colour: "--three"}] : [];
    const accuracy = run.metric === "accuracy";
    const drawn = [plot({title: `${run.part[0].toUpperCase()}${run.part.slice(1)} ${metricName()} by epoch`, xlabel: "epoch", format: accuracy ? percent : number, series: [...both(["test", "train"]), ...printed], high: accuracy ? 1 : undefined})];
    if (runs.every(r => r.history.test_loss.some(v => v !== null)))
      drawn.push(plot({title: "Loss by epoch", xlabel: "epoch", series: both(["test_loss", "train_loss"])}));
    if (several) drawn.push(plot({title: `Train ${metricName()} by epoch`, ylabel: during(), xlabel: "epoch", format: accuracy ? percent : number,
      series: runs.map(r => ({name: r.name, x: r.history.epoch, y: r.history.train}))}));
    fill("curves", element("div", {class: "charts"}, ...drawn), paragraph("Values: by pointer, or by the arrow keys on a chart.", "note"));
  }

  // ---- of the chosen run -----------------------------------------------------------------------------------

  function fates() {
    if (!run.units) return fill("fates");
    const layers = run.units.layers;
    fill("fates", plot({title: "Share of units by epoch", xlabel: "epoch", format: percent, low: 0, high: 1, named: true,
      series: layers.map(l => ({name: `layer ${l.name}: ${l.kind}`, x: run.units.epochs, y: l.share}))}),
      paragraph("On 200 rows that were not trained on. Saturated: tanh beyond ±0.95, sigmoid within 0.025 of 0 or 1, where hardly a gradient passes. Dead: a ReLU unit that is 0 for all of them.", "note"));
  }

  function weights() {
    const l = run.network && run.network.layers.find(one => one.kind === "Dense");
    if (!l || run.network.layers.indexOf(l) || !run.image_shape || run.image_shape[2] > 1) return fill("weights");
    const [D, H] = l.shape, [h, w] = run.image_shape, W = nets.floats(l.W), columns = Math.min(20, H), rows = Math.ceil(H / columns);
    const sorted = Float32Array.from(W, Math.abs).sort(), most = sorted[Math.floor(0.995 * (sorted.length - 1))] || 1;
    const canvas = element("canvas", {class: "mosaic", role: "img", "aria-label": `The weights to ${H} hidden units as images`});
    pad.paint(canvas, rows * (h + 1), columns * (w + 1), i => {
      const y = Math.floor(i / (columns * (w + 1))), x = i % (columns * (w + 1)), k = Math.floor(y / (h + 1)) * columns + Math.floor(x / (w + 1));
      return y % (h + 1) === h || x % (w + 1) === w || k >= H ? [110, 118, 128] : pad.glow(W[((y % (h + 1)) * w + x % (w + 1)) * H + k] / most);
    });
    const largest = Array.from({length: H}, (_, k) => { let sum = 0; for (let d = 0; d < D; d++) sum += W[d * H + k] ** 2; return Math.sqrt(sum); });
    fill("weights", canvas, paragraph(`Each image is the weights from the pixels to one hidden unit: orange speaks for it, blue against it, dark is 0; the scale ends at ±${number(most)}.`, "note"),
      behind("Length of each unit's weights", ["unit", "length"], largest.map((v, k) => [k, number(v)])));
  }

  function confusion() {
    if (!run.confusion) return fill("confusion");
    const counts = run.confusion, names = run.classes, most = Math.max(...counts.map((row, i) => Math.max(...row.map((n, j) => i === j ? 0 : n)))) || 1;
    const box = table(`Rows: the true class. Columns: the answer. ${percent(run.accuracy)} of ${run.tested} are right.`, ["true", ...names, "recall"],
      counts.map((row, i) => { const sum = row.reduce((a, b) => a + b, 0); return [names[i], ...row, sum ? percent(row[i] / sum) : "–"]; }));
    box.classList.add("confusion");
    box.querySelectorAll("tbody tr").forEach((line, i) => line.querySelectorAll("td").forEach((cell, j) => {
      if (j < names.length && counts[i][j]) cell.style.background = i === j ? "rgba(16, 140, 110, 0.25)"
        : `rgba(214, 96, 20, ${(0.08 + 0.32 * counts[i][j] / most).toFixed(2)})`;
    }));
    fill("confusion", box);
  }

  function calibration() {
    if (!run.calibration) return fill("calibration");
    const found = run.calibration.bins;
    fill("calibration", plot({title: "How often it is right, by how sure it is", xlabel: "its probability of the answer", format: percent, low: 0, high: 1, diagonal: true,
      series: [{name: "how often it is right", x: found.map(b => b.confidence), y: found.map(b => b.accuracy)}]}),
      paragraph(`Expected calibration error: ${percent(run.calibration.error)}, the mean distance from the diagonal. Below it the network is too sure of itself.`),
      behind("By probability", ["from", "to", "mean probability", "right", "how many"], found.map(b => [number(b.from), number(b.to), percent(b.confidence), percent(b.accuracy), b.count])));
  }

  function mistakes() {
    if (!run.mistakes || !run.mistakes.length) return fill("mistakes");
    const list = element("ol", {class: "mistakes"}, ...run.mistakes.map(one => {
      const canvas = element("canvas", {role: "img", "aria-label": `a ${run.classes[one.truth]} taken for ${run.classes[one.answer]}`});
      pad.show(canvas, nets.bytes(one.image), run.image_shape);
      return element("li", {}, canvas, element("span", {}, `answer ${run.classes[one.answer]}, ${percent(one.p)}`),
        element("span", {}, `true ${run.classes[one.truth]}, ${percent(one.p_truth)}`));
    }));
    fill("mistakes", paragraph(`${run.mistakes.length} of ${run.wrong} mistakes.`), list);
  }

  function numbers() {
    const found = run.numbers;
    if (!found) return fill("numbers");
    const residuals = found.true.map((y, i) => found.predicted[i] - y), low = Math.min(...residuals), high = Math.max(...residuals);
    const n = 20, counts = Array(n).fill(0), width = (high - low) / n || 1;
    residuals.forEach(r => counts[Math.min(n - 1, Math.floor((r - low) / width))]++);
    const drawn = [
      plot({title: "Predicted against true", xlabel: "true", equal: true, diagonal: true, series: [{name: "predicted", x: found.true, y: found.predicted, kind: "points", faint: true}]}),
      bars({title: "Predicted less true", xlabel: "residual", x: counts.map((_, i) => low + (i + 0.5) * width), y: counts})];
    if (found.line) drawn.push(plot({title: "The fitted line", xlabel: "input", series: [
      {name: "true", x: found.input, y: found.true, kind: "points", faint: true, colour: "--two"}, {name: "predicted", x: found.line[0], y: found.line[1], colour: "--one"}]}));
    fill("numbers", element("div", {class: "charts"}, ...drawn));
  }

  function configuration() {
    const settings = Object.entries(run.configuration).map(([key, value]) => [key, Array.isArray(value) ? value.join(", ") : String(value)]);
    const versions = Object.entries(run.versions).map(([key, value]) => [key, value]);
    fill("configuration", paragraph("The command that repeats it:"), element("pre", {tabindex: "0"}, element("code", {}, run.command || "–")),
      paragraph(`Data: ${run.data.name}, ${run.data.source}.`),
      element("details", {}, element("summary", {}, "The network"), element("pre", {tabindex: "0"}, run.summary || "")),
      element("details", {}, element("summary", {}, "The configuration"), table("Configuration", ["option", "value"], settings)),
      element("details", {}, element("summary", {}, "Versions"), table("Versions", ["package", "version"], versions)));
  }

  // ---- one step, explained ---------------------------------------------------------------------------------

  let at = 0;
  function explained() {
    const steps = page.explained;
    $("explained").hidden = !steps;
    if (!steps) return;
    $("explained-lead").textContent = page.explained_lead;
    const show = to => {
      at = Math.min(Math.max(to, 0), steps.length - 1);
      const step = steps[at];
      $("step").replaceChildren(element("h3", {}, `${step.part}: ${step.title}`), element("p", {}, element("code", {}, step.formula)),
        ...step.arrays.map(([name, rows]) => {
          const body = element("tbody", {}, ...rows.map(row => element("tr", {}, ...row.map(value => element("td", {}, String(value))))));
          return element("div", {class: "scroll", tabindex: "0", role: "region", "aria-label": name}, element("table", {}, element("caption", {}, name), body));
        }));
      $("step-number").textContent = `step ${at + 1} of ${steps.length}`;
      $("previous").disabled = at === 0;
      $("next").disabled = at === steps.length - 1;
    };
    $("previous").onclick = () => show(at - 1);
    $("next").onclick = () => show(at + 1);
    show(at);
  }

  // ---- all -------------------------------------------------------------------------------------------------

  function of(chosen) {
    run = chosen;
    pad.begin(run);
    for (const section of [fates, weights, confusion, calibration, mistakes, numbers, configuration]) section();
  }

  $("lead").textContent = page.lead;
  if (runs.length > 1) {
    $("chooser").hidden = false;
    $("run").append(...runs.map((r, i) => element("option", {value: i}, r.name)));
    $("run").addEventListener("change", event => of(runs[event.target.value]));
  }
  result(); curves(); explained(); of(run);
})();
