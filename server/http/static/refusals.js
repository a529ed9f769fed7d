// What was refused: how often for which reason, and the newest single ones.

import { $, change, make, say, sync, syncRows } from "./dom.js";
import { clock, count, plural, span, word } from "./format.js";
import { isOurs, meaning } from "./reasons.js";

const LATEST = 6;

export class Refusals {
  show(frame) {
    const total = frame.reasons.reduce((sum, row) => sum + row.count, 0);
    const seconds = count(Math.max(1, frame.span));
    say($("refusals-note"), total ? `${plural(total, "refusal")} in the last ${seconds} seconds.` : `Nothing was refused in the last ${seconds} seconds.`);
    this.showReasons(frame.reasons);
    this.showLatest(frame.refusals.slice(0, LATEST), frame.replicas.length > 1);
  }

  showReasons(rows) {
    const most = rows[0]?.count ?? 1;
    $("reasons").hidden = !rows.length;
    sync($("reasons"), rows, {
      key: (row) => row.reason,
      build: () =>
        make("li", {}, make("span", { class: "reason" }), make("span", { class: "number" }), make("progress", { "aria-hidden": "true" }), make("span", { class: "meaning" })),
      update: (item, row) => {
        const [name, number, bar, text] = item.children;
        change(item, { class: isOurs(row.reason) ? "ours" : "callers" });
        say(name, row.reason);
        say(number, count(row.count));
        change(bar, { max: most, value: row.count });
        say(text, meaning(row.reason));
      },
    });
  }

  showLatest(rows, several) {
    $("refusals").hidden = !rows.length;
    syncRows($("refusals").tBodies[0], rows, {
      key: ({ replica, refusal }) => [replica, refusal.at.toFixed(4), refusal.reason, refusal.request_id, refusal.trace_id].join(" "),
      cells: ({ replica, refusal }) => [
        { text: clock(refusal.at), class: "text" },
        { class: "text", fill: (cell) => fillRefusal(cell, refusal, several && replica) },
        span(refusal.waited),
      ],
    });
  }
}

// The reason, and below it, smaller, all else that helps to find the request again.
function fillRefusal(cell, refusal, replica) {
  if (!cell.childElementCount) cell.append(make("span", { class: "reason" }), make("small"));
  const details = [
    refusal.priority && word(refusal.priority),
    refusal.method,
    refusal.model,
    refusal.request_id && `request ${refusal.request_id}`,
    refusal.trace_id && `trace ${refusal.trace_id}`,
    replica && `replica ${replica}`,
  ];
  say(cell.children[0], refusal.reason);
  say(cell.children[1], details.filter(Boolean).join(" \u00b7 "));
}
