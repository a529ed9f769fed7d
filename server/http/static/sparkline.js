// The last two minutes of one figure, as a line. Decoration: the figure itself stands beside it as text.

import { change, makeSvg } from "./dom.js";

const POINTS = 120;
const HEIGHT = 28;

export class Sparkline {
  // `least` is the top of the scale while all values lie below it: a flat line at nothing must not look like a storm.
  constructor({ least = 1, floor = 0 } = {}) {
    this.least = least;
    this.floor = floor;
    this.values = [];
    this.area = makeSvg("path", { class: "area" });
    this.line = makeSvg("path", { class: "line" });
    this.element = makeSvg(
      "svg",
      { class: "spark", viewBox: `0 0 ${POINTS - 1} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.area,
      this.line,
    );
  }

  // Adds one value; null leaves a gap.
  add(value) {
    this.values.push(Number.isFinite(value) ? value : null);
    if (this.values.length > POINTS) this.values.shift();
    this.draw();
  }

  draw() {
    const top = Math.max(this.least, ...this.values.map((value) => value ?? 0));
    const first = POINTS - this.values.length;
    const y = (value) => (HEIGHT - 1 - ((value - this.floor) / (top - this.floor)) * (HEIGHT - 3)).toFixed(1);
    let line = "";
    let area = "";
    let begun = null;
    this.values.forEach((value, index) => {
      const x = first + index;
      if (value === null) {
        if (begun !== null) area += `L${x - 1} ${HEIGHT}Z`;
        begun = null;
        return;
      }
      const shown = Math.max(value, this.floor);
      area += begun === null ? `M${x} ${HEIGHT}L${x} ${y(shown)}` : `L${x} ${y(shown)}`;
      line += begun === null ? `M${x} ${y(shown)}` : `L${x} ${y(shown)}`;
      begun ??= x;
    });
    if (begun !== null) area += `L${POINTS - 1} ${HEIGHT}Z`;
    change(this.line, { d: line });
    change(this.area, { d: area });
  }
}
