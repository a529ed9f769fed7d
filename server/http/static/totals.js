// Counters since the replicas started, summed over those there are.

import { $, make, say } from "./dom.js";
import { UNKNOWN, count, percent } from "./format.js";

const cacheShare = ({ cache_hits: hits, cache_misses: misses }) => (hits + misses ? percent(hits / (hits + misses)) : UNKNOWN);

const TOTALS = [
  ["Ticks applied", (totals) => count(totals.ticks_applied)],
  ["Ticks missing", (totals) => count(totals.ticks_missing)],
  ["Predictions conflated", (totals) => count(totals.conflated)],
  ["Symbols resumed", (totals) => count(totals.resumed)],
  ["Cache hits", (totals) => cacheShare(totals)],
  ["Answers kept", (totals) => count(totals.cache_entries)],
  ["Promoted by waiting", (totals) => count(totals.promoted)],
  ["Displaced", (totals) => count(totals.displaced)],
];

export class Totals {
  constructor() {
    this.values = TOTALS.map(([label]) => {
      const value = make("dd", {}, UNKNOWN);
      $("totals").append(make("div", {}, make("dt", {}, label), value));
      return value;
    });
  }

  show(frame) {
    this.values.forEach((element, index) => say(element, TOTALS[index][1](frame.totals)));
  }
}
