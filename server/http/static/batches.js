// The newest engine calls, one bar each: its height is how many windows it held, its colour which version computed it.

import { colourOf } from "./colours.js";
import { $, change, make, makeSvg, say, sync, syncRows } from "./dom.js";
import { capital, clock, count, mean, plural, span } from "./format.js";

const BARS = 64;
const STEP = 10;
const HEIGHT = 100;
const TABLE = 12;

const ago = (seconds) => `${seconds < 10 ? Math.max(0, seconds).toFixed(1) : count(seconds)}\u202fs ago`;
const key = ({ replica, batch }) => `${replica}/${batch.id}`;

export class Batches {
  constructor() {
    this.bars = makeSvg("g");
    this.top = make("span", { class: "top-label" });
    this.oldest = make("span");
    this.newest = make("span");
    this.svg = makeSvg("svg", { viewBox: `0 0 ${BARS * STEP} ${HEIGHT}`, preserveAspectRatio: "none" }, this.bars);
    $("batches-chart").append(this.top, this.svg, make("div", { class: "axis" }, this.oldest, this.newest));
  }

  show(frame) {
    const { batches } = frame;
    const most = Math.max(4, ...batches.map(({ batch }) => batch.size));
    sync(this.bars, batches, {
      key,
      build: () => makeSvg("rect", { width: STEP - 3, rx: 1 }),
      update: (bar, entry) => {
        const { batch } = entry;
        const height = Math.max(3, (batch.size / most) * HEIGHT);
        const place = BARS - batches.length + batches.indexOf(entry);
        change(bar, {
          x: place * STEP + 1.5,
          y: (HEIGHT - height).toFixed(1),
          height: height.toFixed(1),
          class: batch.failed ? "failed" : colourOf(batch.model),
        });
      },
    });
    say(this.top, plural(most, "window"));
    say(this.oldest, batches.length ? ago(frame.at - batches[0].batch.at) : "");
    say(this.newest, batches.length ? ago(frame.at - batches.at(-1).batch.at) : "");
    $("batches-chart").hidden = !batches.length;
    $("batches-details").hidden = !batches.length;
    say($("batches-note"), this.summary(batches));
    syncRows($("batches").tBodies[0], batches.slice(-TABLE).reverse(), {
      key,
      cells: ({ replica, batch }) => [
        clock(batch.at),
        count(batch.size),
        batch.failed ? { text: "failed", class: "bad" } : span(batch.seconds),
        { text: batch.model, class: "text" },
        { text: replica, class: "text" },
      ],
    });
  }

  summary(batches) {
    if (!batches.length) return "No batch has run while this page was open.";
    const times = batches.map(({ batch }) => batch.seconds).sort((a, b) => a - b);
    const sizes = batches.map(({ batch }) => batch.size);
    const failed = batches.filter(({ batch }) => batch.failed).length;
    const text = `the newest ${count(batches.length)}: ${mean(sizes.reduce((a, b) => a + b) / sizes.length)} windows on average, ` +
      `${count(Math.max(...sizes))} at most; median ${span(times[times.length >> 1])} in the engine`;
    return `${capital(text)}${failed ? `; ${plural(failed, "engine failure")}` : ""}.`;
  }
}
