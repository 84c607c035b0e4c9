(() => {
  "use strict";
  const BATCH = 24, MORE = 96, FIRST = 8; // cards drawn at first, with each press, and in the two short lists
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("gallery-data").textContent);
  data.loss = data.loss.map((value) => (value === "inf" ? Infinity : value));
  const items = byId("gallery-items");
  const sort = byId("gallery-sort"), answers = byId("gallery-answers"), more = byId("gallery-more");
  const low = byId("gallery-low"), high = byId("gallery-high");
  const filters = { true: byId("gallery-true"), predicted: byId("gallery-predicted") };
  const all = data.true.map((_, i) => i);
  let order = [], drawn = 0;

  // Names come from outside: they only ever become text, never markup.
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const nameOf = (k) => (k >= 0 ? data.classes[k] : "–");
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const lossOf = (i) => (data.loss[i] === null ? "–" : data.loss[i] === Infinity ? "∞" : data.loss[i].toPrecision(3));
  const confidenceOf = (i) => (data.confidence[i] === null ? "–" : percent(data.confidence[i]));
  const labelOf = (i) => (data.file ? `#${data.index[i]} ${data.file[i]}` : `#${data.index[i]}`);
  const isError = (i) => data.true[i] !== data.predicted[i];
  const shownOf = (i) => {
    const n = data.num_shown;
    return Array.from({ length: n }, (_, j) => [data.shown ? data.shown[i * n + j] : j, data.scores[i * n + j] / 1e4]);
  };

  // How far the best class is ahead of the second best: 0 where the model cannot decide.
  data.margin = data.true.map((_, i) => {
    const [best, second] = shownOf(i).map(([, share]) => share).sort((a, b) => b - a);
    return data.confidence[i] === null ? null : best - (second ?? 0);
  });

  function scores(i) {
    const box = make("div", "scores");
    for (const [k, share] of shownOf(i)) {
      const isTrue = k === data.true[i];
      const kind = isTrue ? "true-class" : k === data.predicted[i] ? "mistaken" : "";
      const name = make("span", isTrue ? "true-class" : "", nameOf(k));
      name.title = nameOf(k);
      const bar = make("div", `bar ${kind}`), fill = make("i");
      fill.style.width = `${100 * share}%`;
      bar.append(fill);
      box.append(name, bar, make("span", isTrue ? "true-class" : "", percent(share)));
    }
    return box;
  }

  function thumbnail(i) {
    const { width, height, cell, columns, rows, scale } = data.sprite;
    const place = i % (columns * rows), sheet = Math.floor(i / (columns * rows));
    const picture = make("div", `thumb sheet-${sheet}`);
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `test image ${labelOf(i)}`);
    Object.assign(picture.style, {
      width: `${width * scale}px`,
      height: `${height * scale}px`,
      backgroundSize: `${columns * cell[0] * scale}px auto`,
      backgroundPosition: `${-(place % columns) * cell[0] * scale}px ${-Math.floor(place / columns) * cell[1] * scale}px`,
    });
    return picture;
  }

  function fact(label, value) {
    const line = make("div", "", `${label} `);
    line.append(make("b", "", value));
    line.title = `${label} ${value}`;
    return line;
  }

  function card(i) {
    const wrong = isError(i), element = make("li", wrong ? "card error" : "card");
    element.dataset.index = data.index[i];
    const verdict = make("div", "verdict");
    verdict.append(
      make("div", "mark", wrong ? "✗ wrong" : "✓ correct"),
      fact("true", nameOf(data.true[i])),
      fact("predicted", nameOf(data.predicted[i])),
      make("div", "muted", `loss ${lossOf(i)}`),
      make("div", "muted", labelOf(i)),
    );
    element.append(thumbnail(i), verdict, scores(i));
    return element;
  }

  function row(i) {
    const wrong = isError(i), element = make("tr", wrong ? "error" : "");
    element.dataset.index = data.index[i];
    const cells = [labelOf(i), nameOf(data.true[i]), nameOf(data.predicted[i]), wrong ? "✗ wrong" : "✓ correct",
      confidenceOf(i), lossOf(i)];
    cells.forEach((text, k) => element.append(make("td", k === 3 ? "mark" : "", text)));
    const last = make("td");
    last.append(scores(i));
    element.append(last);
    return element;
  }

  function comparison(key) {
    const descending = !key.startsWith("-"), values = data[key.replace("-", "")];
    if (!values) return (a, b) => a - b;
    return (a, b) => {
      const x = values[a], y = values[b];
      if (x === y) return a - b;
      if (x === null || y === null) return x === null ? 1 : -1; // what has no number comes last
      return (x < y) === descending ? 1 : -1;
    };
  }

  function draw() {
    const fragment = document.createDocumentFragment();
    const next = order.slice(drawn, drawn + (drawn ? MORE : BATCH));
    for (const i of next) fragment.append(data.sprite ? card(i) : row(i));
    items.append(fragment);
    drawn += next.length;
    more.hidden = drawn >= order.length;
    more.textContent = `Show ${Math.min(MORE, order.length - drawn)} more`;
    const count = (n) => n.toLocaleString("en").replace(/,/g, "\u202f");
    const wrong = order.filter(isError).length;
    byId("gallery-count").textContent = order.length
      ? `${count(drawn)} of ${count(order.length)} shown, ${count(wrong)} of these ${count(order.length)} wrong`
      : "Nothing fits these filters.";
  }

  function isWithin(i) {
    const from = Number(low.value || 0), to = Number(high.value || 100);
    if (from <= 0 && to >= 100) return true; // also what has no confidence
    return data.confidence[i] !== null && 100 * data.confidence[i] >= from && 100 * data.confidence[i] <= to;
  }

  function refresh() {
    order = all.filter((i) =>
      (filters.true.value === "" || data.true[i] === Number(filters.true.value)) &&
      (filters.predicted.value === "" || data.predicted[i] === Number(filters.predicted.value)) &&
      (answers.value === "" || isError(i) === (answers.value === "wrong")) && isWithin(i));
    order.sort(comparison(sort.value));
    items.replaceChildren();
    drawn = 0;
    draw();
  }

  function filter(trueClass, predictedClass, from = 0, to = 100) {
    [filters.true.value, filters.predicted.value, answers.value] = [trueClass, predictedClass, ""];
    [low.value, high.value] = [from, to];
    refresh();
  }

  function drawFirst(id, key, chosen) {
    const first = chosen.sort(comparison(key)).slice(0, FIRST);
    byId(id).append(...first.map(card));
    byId(`${id}-part`).hidden = !first.length;
  }

  for (const select of Object.values(filters)) {
    data.classes.forEach((name, k) => {
      const option = make("option", "", name);
      option.value = k;
      select.append(option);
    });
  }
  for (const control of [sort, answers, low, high, filters.true, filters.predicted]) control.addEventListener("change", refresh);
  more.addEventListener("click", draw);
  byId("gallery-half").addEventListener("click", () => { sort.value = "-margin"; filter("", "", 40, 60); });
  byId("gallery-reset").addEventListener("click", () => { sort.value = "loss"; filter("", ""); });
  byId("matrix")?.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    filter(button.dataset.true, button.dataset.predicted);
    byId("gallery").scrollIntoView();
    filters.true.focus({ preventScroll: true });
  });
  if (data.sprite) {
    drawFirst("gallery-worst", "loss", all.filter(isError));
    drawFirst("gallery-uncertain", "-margin", [...all]);
  } else {
    for (const name of ["example", "true", "predicted", "", "confidence", "loss", "scores"]) {
      const cell = make("th", "", name);
      cell.scope = "col";
      byId("gallery-head").append(cell);
    }
  }
  byId("gallery-view").hidden = false;
  refresh();
})();
