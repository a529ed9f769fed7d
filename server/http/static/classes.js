// One column a class: what waits, what was answered, and how long that took.

import { $, change, make, say } from "./dom.js";
import { capital, count, percent, rate, span, word } from "./format.js";
import { Sparkline } from "./sparkline.js";

const ROWS = [
  ["Waiting", (row) => count(row.queued), "Requests in the queue now"],
  ["Oldest waits", (row) => span(row.oldest), "How long the oldest of them has waited"],
  ["Answered /s", (row) => rate(row.answered_rate), "Predictions given before their deadline"],
  ["Missed", (row) => count(row.missed), "Late, shed or failed over the last half minute: could have been answered and were not"],
  ["In time", (row) => percent(row.goodput), "The part answered, over the last half minute", (row) => level(row.goodput)],
  ["p50", (row) => span(row.p50), "Half of the answers took no longer"],
  ["p95", (row) => span(row.p95), "95 in 100 took no longer"],
  ["p99", (row) => span(row.p99), "99 in 100 took no longer"],
];

const level = (share) => (share === null || share >= 0.999 ? null : share >= 0.99 ? "warn" : "bad");

export class Classes {
  constructor() {
    this.names = "";
    this.sparks = new Map();
  }

  show(frame) {
    const names = frame.classes.map((row) => row.name);
    if (this.names !== names.join()) this.build(names);
    frame.classes.forEach((row, column) => {
      this.cells[column].forEach((cell, index) => {
        say(cell, ROWS[index][1](row));
        change(cell, { "data-level": ROWS[index][3]?.(row) ?? null });
      });
      this.sparks.get(row.name).add(row.answered_rate);
    });
    const quiet = frame.classes.every((row) => row.p50 === null && row.goodput === null);
    say($("classes-note"), quiet ? "No request was answered or missed in the last half minute." : `Times, shares and misses are of the last ${count(Math.max(1, frame.span))} seconds, on all replicas.`);
  }

  build(names) {
    this.names = names.join();
    for (const name of names) if (!this.sparks.has(name)) this.sparks.set(name, new Sparkline());
    const heads = names.map((name) => make("th", { scope: "col", "data-class": name }, capital(word(name))));
    const sparks = names.map((name) => make("td", { "data-class": name }, this.sparks.get(name).element));
    this.cells = names.map((name) => ROWS.map(() => make("td", { "data-class": name })));
    const rows = ROWS.map(([label, , title], index) =>
      make("tr", {}, make("th", { scope: "row", title }, label), ...this.cells.map((column) => column[index])),
    );
    const trend = make("tr", { "aria-hidden": "true", class: "trend" }, make("td", { class: "text" }, "Answered, 2 min"), ...sparks);
    $("classes").replaceChildren(
      make("thead", {}, make("tr", {}, make("td"), ...heads)),
      make("tbody", {}, ...rows, trend),
    );
  }
}
