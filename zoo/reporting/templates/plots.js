(() => {
  "use strict";
  const SVG = "http://www.w3.org/2000/svg";
  const REACH = 24; // how near, in points, the pointer must come to a line

  // Names come from outside: they only ever become text, never markup.
  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const draw = (parent, tag, attributes) => {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    parent.append(element);
    return element;
  };
  const button = (text, className = "button") => Object.assign(make("button", className, text), { type: "button" });
  const say = (name, detail) => document.dispatchEvent(new CustomEvent(name, { detail }));
  const pathOf = (mark) => mark.px.map((x, i) => `${x},${mark.py[i]}`).join(" ");
  const elementsOf = (mark) => mark.ids.map((id) => document.getElementById(id));

  class InteractivePlot {
    constructor(figure) {
      this.figure = figure;
      this.svg = figure.querySelector("svg");
      this.panels = JSON.parse(figure.querySelector("script").textContent);
      this.marks = this.panels.flatMap((panel) => panel.marks);
      this.hidden = new Set(); // labels of series that are switched off
      this.trials = null; // numbers of the trials that stand out; null for all
      this.overlay = draw(this.svg, "g", { class: "plot-overlay" });
      this.tip = figure.appendChild(make("div", "plot-tip"));
      this.tip.hidden = true;
      this.keys = [];
      this.brushes = [];
      this.addControls();
      this.svg.addEventListener("pointermove", (event) => this.point(event));
      this.svg.addEventListener("pointerdown", (event) => this.point(event));
      this.svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.leave(); });
      this.svg.addEventListener("dblclick", () => this.reset());
      document.addEventListener("pointerdown", (event) => { if (!figure.contains(event.target)) this.leave(); });
      if (this.marks.some((mark) => mark.trial !== null)) {
        document.addEventListener("zoo:trials", (event) => this.fade(event.detail));
        document.addEventListener("zoo:trial", (event) => this.select(event.detail));
      }
    }

    // Controls: a key a series, and a way back

    addControls() {
      const series = new Map();
      for (const mark of this.marks) {
        if (mark.label && mark.ids.length && !series.has(mark.label)) series.set(mark.label, mark);
      }
      const parallel = this.panels.find((panel) => panel.is_parallel);
      if (series.size < 2 && !parallel) return;
      const controls = make("div", "plot-controls");
      controls.setAttribute("role", "group");
      controls.setAttribute("aria-label", `Controls of ${this.svg.getAttribute("aria-label")}`);
      if (parallel) controls.append(make("span", "plot-hint", "Drag along the axes to pick out trials."));
      if (series.size > 1) for (const [label, mark] of series) controls.append(this.key(label, mark));
      this.back = button(parallel ? "Show all trials" : "Show all", "button plot-back");
      this.back.hidden = true;
      this.back.addEventListener("click", () => this.reset());
      controls.append(this.back);
      this.figure.append(controls);
      if (series.size > 1) this.figure.classList.add("plot-keyed");
      if (parallel) this.addBrushes(parallel);
    }

    key(label, mark) {
      const key = button(undefined, "plot-key"), swatch = make("i", mark.look);
      swatch.style.color = mark.colour ?? "";
      key.append(swatch, make("span", "", label));
      key.setAttribute("aria-pressed", "true");
      key.addEventListener("click", () => {
        if (!this.hidden.delete(label)) this.hidden.add(label);
        this.showSeries();
      });
      this.keys.push({ key, label });
      return key;
    }

    showSeries() {
      for (const { key, label } of this.keys) key.setAttribute("aria-pressed", String(!this.hidden.has(label)));
      for (const mark of this.marks) {
        for (const element of elementsOf(mark)) element.classList.toggle("plot-off", this.hidden.has(mark.label));
      }
      this.leave();
      this.offerBack();
    }

    offerBack() {
      if (this.back) this.back.hidden = !this.hidden.size && !this.brushes.some((brush) => brush.range);
    }

    reset() {
      this.hidden.clear();
      this.showSeries();
      this.clearBrushes();
    }

    // Trials: a range on each axis picks out those that pass through all of them

    addBrushes(panel) {
      const [left, top, right, bottom] = panel.box;
      const lines = panel.marks.filter((mark) => mark.trial !== null && mark.px.length);
      if (!lines.length) return;
      this.brushes = lines[0].px.map((x, i) => {
        const brush = { range: null, at: (mark) => mark.py[i] };
        const band = draw(this.overlay, "rect", { class: "plot-band", x: x - 8, width: 16 });
        const handle = draw(this.overlay, "rect", { class: "plot-axis", x: x - 14, width: 28, y: top, height: bottom - top });
        let start = null;
        brush.show = () => {
          const [low, high] = brush.range ?? [0, 0];
          band.setAttribute("y", low);
          band.setAttribute("height", high - low);
        };
        handle.addEventListener("pointerdown", (event) => {
          handle.setPointerCapture(event.pointerId);
          start = this.place(event).y;
        });
        handle.addEventListener("pointermove", (event) => {
          if (start === null) return;
          const y = Math.min(bottom, Math.max(top, this.place(event).y));
          if (Math.abs(y - start) < 3 && !brush.range) return; // a click, so far
          brush.range = [Math.min(start, y), Math.max(start, y)];
          this.applyBrushes(lines);
        });
        for (const end of ["pointerup", "pointercancel"]) {
          handle.addEventListener(end, (event) => {
            if (start !== null && Math.abs(this.place(event).y - start) < 3) brush.range = null;
            start = null;
            this.applyBrushes(lines);
          });
        }
        return brush;
      });
      this.svg.addEventListener("click", (event) => {
        if (!event.target.classList.contains("plot-axis")) this.clearBrushes();
      });
    }

    applyBrushes(lines) {
      const used = this.brushes.filter((brush) => brush.range);
      const inside = (mark) => used.every(({ at, range }) => at(mark) >= range[0] && at(mark) <= range[1]);
      for (const brush of this.brushes) brush.show();
      say("zoo:trials", used.length ? new Set(lines.filter(inside).map((mark) => mark.trial)) : null);
      this.offerBack();
    }

    clearBrushes() {
      if (!this.brushes.some((brush) => brush.range)) return;
      for (const brush of this.brushes) brush.range = null;
      this.applyBrushes([]);
    }

    fade(trials) {
      this.trials = trials;
      for (const mark of this.marks) {
        if (mark.trial === null) continue;
        for (const element of elementsOf(mark)) element.classList.toggle("plot-faded", this.isFaded(mark));
      }
    }

    isFaded(mark) {
      return this.trials !== null && mark.trial !== null && !this.trials.has(mark.trial);
    }

    select(trial) {
      this.overlay.querySelectorAll(".plot-selected").forEach((line) => line.remove());
      const mark = this.marks.find((one) => one.trial === trial && one.px.length > 1);
      if (mark) draw(this.overlay, "polyline", { class: "plot-selected", points: pathOf(mark) });
    }

    // The readout: the nearest point of the panel that the pointer is in

    place(event) {
      return new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    }

    point(event) {
      const { x, y } = this.place(event);
      const isIn = ([left, top, right, bottom]) => x >= left - 4 && x <= right + 4 && y >= top - 4 && y <= bottom + 4;
      const panel = this.panels.find(({ box }) => isIn(box));
      const found = panel && (panel.is_parallel ? this.nearestLine(panel, x, y) : this.nearestPoint(panel, x, y));
      this.leave();
      if (found) this.tell(panel, found, event);
    }

    shownMarks(panel) {
      return panel.marks.filter((mark) => mark.px.length && !this.hidden.has(mark.label) && !this.isFaded(mark));
    }

    nearestPoint(panel, x, y) {
      let best = null, least = Infinity;
      for (const mark of this.shownMarks(panel)) {
        for (let i = 0; i < mark.px.length; i++) {
          const distance = (mark.px[i] - x) ** 2 + (mark.py[i] - y) ** 2;
          if (distance < least) [best, least] = [{ mark, i }, distance];
        }
      }
      return best;
    }

    nearestLine(panel, x, y) {
      let best = null, least = REACH;
      for (const mark of this.shownMarks(panel)) {
        const i = mark.px.findIndex((right, k) => k && right >= x);
        if (i < 1 || mark.px[0] > x || mark.trial === null) continue;
        const share = (x - mark.px[i - 1]) / (mark.px[i] - mark.px[i - 1]);
        const distance = Math.abs(mark.py[i - 1] + share * (mark.py[i] - mark.py[i - 1]) - y);
        if (distance < least) [best, least] = [{ mark }, distance];
      }
      return best;
    }

    tell(panel, { mark, i }, event) {
      const lines = [mark.note || mark.label].filter(Boolean);
      if (mark.trial !== null) draw(this.overlay, "polyline", { class: "plot-pointed", points: pathOf(mark) });
      if (i !== undefined) {
        lines.push(`${panel.x} ${mark.x[i]}`.trim(), `${panel.y} ${mark.y[i]}`.trim());
        draw(this.overlay, "circle", { class: "plot-pointed", cx: mark.px[i], cy: mark.py[i], r: 4.5 });
      }
      this.tip.textContent = lines.join("\n");
      this.tip.hidden = false;
      const frame = this.figure.getBoundingClientRect(), tip = this.tip.getBoundingClientRect();
      const left = event.clientX - frame.left + 14, top = event.clientY - frame.top - tip.height - 12;
      this.tip.style.left = `${Math.max(0, left + tip.width > frame.width ? left - tip.width - 28 : left)}px`;
      this.tip.style.top = `${top + frame.top < 4 ? top + tip.height + 30 : top}px`;
    }

    leave() {
      this.tip.hidden = true;
      this.overlay.querySelectorAll(".plot-pointed").forEach((element) => element.remove());
    }
  }

  for (const figure of document.querySelectorAll("figure.plot")) new InteractivePlot(figure);
})();
