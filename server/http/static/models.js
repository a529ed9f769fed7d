// Which versions are loaded, what batches of each cost, and how a model's traffic is split between them.

import { colourOf } from "./colours.js";
import { $, change, make, say, sync, syncRows } from "./dom.js";
import { UNKNOWN, capital, count, percent, plural, span, word } from "./format.js";

const VERSIONS = ["Version", "Answers", "Replicas", "Batch limit", "1 window", "Full batch"];
const TEXT = new Set(["Version", "Arm", "State"]);
const ARMS = ["Arm", "State", "Asked", "Errors", "Late", "Other class", "p99"];

export class Models {
  show(frame) {
    const names = [...new Set([...frame.models.map((row) => row.name), ...frame.routes.map((row) => row.model)])];
    say($("models-note"), names.length ? `${plural(frame.models.length, "version")} loaded. Answers are of the last half minute.` : "No model is loaded.");
    sync($("models"), names, {
      key: (name) => name,
      build: (name) => build(name),
      update: (block, name) => {
        const versions = frame.models.filter((row) => row.name === name);
        const route = frame.routes.find((row) => row.model === name);
        showSplit(block.querySelector(".split"), name, versions, route);
        say(block.querySelector(".route"), route ? describe(route) : "");
        showVersions(block.querySelector(".versions"), versions);
        const arms = block.querySelector(".arms");
        arms.closest(".scroll").hidden = !route;
        showArms(arms, route?.arms ?? []);
      },
    });
  }
}

function build(name) {
  const table = (className, label, heads) =>
    make(
      "div",
      { class: "scroll", role: "region", "aria-label": `${label} of ${name}` },
      make(
        "table",
        { class: `figures ${className}` },
        make("caption", { class: "visually-hidden" }, `${label} of ${name}`),
        make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col", class: TEXT.has(head) ? "text" : null }, head)))),
        make("tbody"),
      ),
    );
  return make(
    "div",
    { class: "model" },
    make("h3", {}, name),
    make("div", { class: "split", "aria-hidden": "true" }),
    make("p", { class: "note route" }),
    table("versions", "Versions", VERSIONS),
    table("arms", "Arms", ARMS),
  );
}

// The bar shows what really was answered; without any answer, what the route wants.
function showSplit(bar, name, versions, route) {
  const answered = versions.filter((row) => row.share);
  let parts = answered.map((row) => ({ version: row.version, share: row.share }));
  if (!parts.length && route) {
    const of = (role) => route.arms.find((arm) => arm.role === role)?.version;
    const part = route.effective_percent / 100;
    parts = [{ version: of("STABLE"), share: 1 - part }, { version: of("CANDIDATE"), share: part }];
  }
  const sum = parts.reduce((total, part) => total + part.share, 0);
  bar.hidden = !sum;
  sync(bar, parts.filter((part) => part.share > 0), {
    key: (part) => part.version,
    build: (part) => make("span", { class: colourOf(`${name}:${part.version}`) }),
    update: (element, part) => {
      element.style.flexGrow = String(part.share / sum);
      say(element, part.share / sum > 0.12 ? `v${part.version} ${percent(part.share / sum)}` : "");
    },
  });
}

function describe(route) {
  const causes = Object.entries(route.rollbacks).map(([cause, replicas]) => `${word(cause)} on ${plural(replicas, "replica")}`);
  if (causes.length) return `The candidate was rolled back: ${causes.join(", ")}.`;
  const candidate = route.arms.some((arm) => arm.role === "CANDIDATE");
  if (!candidate) return "";
  const wanted = `The candidate is to answer ${percent(route.percent / 100)} of the routing keys`;
  return route.effective_percent === route.percent ? `${wanted}.` : `${wanted}; now it answers ${percent(route.effective_percent / 100)}.`;
}

function showVersions(table, versions) {
  syncRows(table.tBodies[0], versions, {
    key: (row) => `${row.version}/${row.sha256}`,
    cells: (row) => [
      { title: `sha256 ${row.sha256}`, class: "text", fill: (cell) => fillVersion(cell, row) },
      percent(row.share),
      count(row.replicas),
      row.batch_limit ? count(row.batch_limit) : UNKNOWN,
      span(row.costs.find((cost) => cost.size === 1)?.median ?? null),
      fullBatch(row),
    ],
  });
}

function fillVersion(cell, row) {
  if (!cell.childElementCount) {
    cell.append(make("span", { class: `swatch ${colourOf(`${row.name}:${row.version}`)}`, "aria-hidden": "true" }), `v${row.version}`);
  }
}

function fullBatch(row) {
  const cost = row.costs.filter(({ size }) => size <= Math.max(1, row.batch_limit)).at(-1);
  return cost && cost.size > 1 ? { text: span(cost.median), title: `${cost.size} windows; nearly all below ${span(cost.quantile)}` } : UNKNOWN;
}

function showArms(table, arms) {
  syncRows(table.tBodies[0], arms, {
    key: (arm) => `${arm.role}/${arm.version}`,
    cells: (arm) => [
      { text: `${capital(word(arm.role))} v${arm.version}`, class: "text" },
      state(arm),
      count(arm.requests),
      count(arm.errors),
      count(arm.late),
      percent(arm.disagreement),
      span(arm.p99),
    ],
  });
}

function state(arm) {
  const names = Object.keys(arm.states);
  const text = names.map((name) => (names.length > 1 ? `${word(name)} on ${arm.states[name]}` : word(name))).join(", ");
  return { text, class: names.includes("ROLLED_BACK") ? "text bad" : "text" };
}
