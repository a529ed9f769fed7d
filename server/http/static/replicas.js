// All replicas, the one that tells first.

import { $, say, syncRows } from "./dom.js";
import { age, count, plural, rate, word } from "./format.js";

export class Replicas {
  show(frame) {
    const { replicas } = frame;
    const quiet = replicas.filter((row) => !row.detailed).length;
    const notes = [plural(replicas.length, "replica")];
    if (frame.alone) notes.push("the others cannot be asked");
    else if (quiet) notes.push(`${plural(quiet, "is", "are")} not in classes, batches and refusals yet`);
    say($("replicas-note"), `${notes.join("; ")}.`);
    $("replicas").hidden = false;
    syncRows($("replicas").tBodies[0], replicas, {
      key: (row) => row.replica,
      cells: (row) => [
        { text: row.replica === frame.replica ? `${row.replica} (tells)` : row.replica, class: "text" },
        state(row),
        count(row.queued),
        count(row.in_flight),
        rate(row.batch_rate),
        count(row.streams),
        age(row.uptime),
        { text: row.models.join(", "), class: "text" },
      ],
    });
  }
}

function state(row) {
  if (row.state === "SILENT") return { text: `silent for ${age(row.age)}`, class: "text bad" };
  const sick = row.engine === "DEGRADED" || row.engine === "UNHEALTHY";
  const text = sick ? `${word(row.state)}, engine ${word(row.engine)}` : word(row.state);
  return { text, class: row.state === "LIVE" && !sick ? "text good" : "text bad" };
}
