// The service at a glance: six figures, each with its last two minutes.

import { $, change, make, say } from "./dom.js";
import { UNKNOWN, count, mean, percent, plural, rate, span } from "./format.js";
import { Sparkline } from "./sparkline.js";

const realTime = (frame) => frame.classes.find((row) => row.name === "REAL_TIME");

const TILES = [
  {
    name: "Answered",
    value: (frame) => frame.headline.answered_rate,
    text: (value) => [rate(value), "/s"],
    note: ({ headline }) => (headline.cached === null ? "" : `${percent(headline.cached)} from the cache`),
  },
  {
    name: "In time",
    value: (frame) => frame.headline.goodput,
    text: (value) => [percent(value).replace("\u202f%", ""), value === null ? "" : "%"],
    note: ({ headline, span: seconds }) => `${count(headline.missed)} missed in ${count(Math.max(1, seconds))}\u202fs`,
    level: (value) => (value === null || value >= 0.999 ? "" : value >= 0.99 ? "warn" : "bad"),
    spark: { least: 1, floor: 0.5 },
  },
  {
    name: "Real-time p99",
    value: (frame) => realTime(frame)?.p99 ?? null,
    text: (value) => span(value).split("\u202f"),
    note: (frame) => `median ${span(realTime(frame)?.p50 ?? null)}`,
    spark: { least: 0.01 },
  },
  {
    name: "Waiting",
    value: (frame) => frame.headline.queued,
    text: (value) => [count(value), ""],
    note: ({ headline }) => `${count(headline.in_flight)} in the engine`,
    spark: { least: 8 },
  },
  {
    name: "Batches",
    value: (frame) => frame.headline.batch_rate,
    text: (value) => [rate(value), "/s"],
    note: ({ headline }) => (headline.batch_size === null ? "" : `${mean(headline.batch_size)} windows each`),
  },
  {
    name: "Open streams",
    value: (frame) => frame.headline.streams,
    text: (value) => [count(value), ""],
    note: ({ headline }) => `${plural(headline.symbols, "symbol")}, ${rate(headline.tick_rate)} ticks/s`,
    spark: { least: 4 },
  },
];

export class Tiles {
  constructor() {
    this.tiles = TILES.map((tile) => {
      const figure = make("span", { class: "figure" }, UNKNOWN);
      const unit = make("span", { class: "unit" });
      const note = make("dd", { class: "note" });
      const spark = new Sparkline(tile.spark);
      const element = make("div", { class: "tile" }, make("dt", {}, tile.name), make("dd", { class: "value" }, figure, unit), note);
      element.append(spark.element);
      return { ...tile, element, figure, unit, noteElement: note, sparkline: spark };
    });
    $("tiles").append(...this.tiles.map(({ element }) => element));
  }

  show(frame) {
    for (const tile of this.tiles) {
      const value = tile.value(frame);
      const [text, unit = ""] = tile.text(value);
      say(tile.figure, text);
      say(tile.unit, unit);
      say(tile.noteElement, tile.note(frame));
      change(tile.element, { "data-level": tile.level?.(value) || null });
      tile.sparkline.add(value);
    }
  }
}
