// Joins the connection and the panels: who is told of a frame, and what the page says of the connection itself.

import { Batches } from "./batches.js";
import { Classes } from "./classes.js";
import { Connection } from "./connection.js";
import { $, markScrollers, say } from "./dom.js";
import { capital, clock, plural, word } from "./format.js";
import { Models } from "./models.js";
import { Refusals } from "./refusals.js";
import { Replicas } from "./replicas.js";
import { Tiles } from "./tiles.js";
import { Totals } from "./totals.js";

const STALE = 3000; // milliseconds without a frame after which the figures are called old

const panels = [new Tiles(), new Classes(), new Batches(), new Refusals(), new Models(), new Replicas(), new Totals()];

let link = { state: "connecting" };
let frame = null;
let announced = "";

const connection = new Connection("console/events", {
  onFrame(next) {
    announceChanges(frame, next);
    frame = next;
    for (const panel of panels) panel.show(next);
    say($("teller"), `told by replica ${next.replica}`);
    markScrollers();
  },
  onState(next) {
    link = next;
    showLink();
  },
});

function showLink() {
  const silence = connection.lastFrameAt ? Date.now() - connection.lastFrameAt : 0;
  const seconds = Math.floor(silence / 1000);
  const retry = link.retryAt ? Math.max(1, Math.ceil((link.retryAt - Date.now()) / 1000)) : 0;
  let shown = { state: "loading", pill: "Connecting", banner: "", announce: "" };
  if (link.state === "paused") {
    shown = { state: "paused", pill: "Paused", banner: "", announce: "" };
  } else if (link.state === "waiting") {
    const old = frame ? ` The figures below are of ${clock(frame.at)}, ${plural(seconds, "second")} ago.` : "";
    shown = {
      state: "lost",
      pill: frame ? `No news for ${seconds} s` : "Disconnected",
      banner: `${link.reason}${old} Trying again in ${plural(retry, "second")}.`,
      announce: `Disconnected. ${link.reason}`,
    };
  } else if (frame && silence > STALE) {
    shown = {
      state: "lost",
      pill: `No news for ${seconds} s`,
      banner: `No news for ${plural(seconds, "second")}. The figures below are of ${clock(frame.at)}.`,
      announce: "Disconnected. No news from the service.",
    };
  } else if (link.state === "live") {
    shown = { state: "live", pill: "Live", banner: "", announce: "Connected." };
  } else if (frame) {
    // Between two connections: the banner stays as it was rather than flicker.
    return;
  }
  document.body.dataset.link = shown.state;
  document.title = shown.state === "lost" ? "(no news) tickserve console" : "tickserve console";
  say($("link-text"), shown.pill);
  say($("banner"), shown.banner);
  $("banner").hidden = !shown.banner;
  if (shown.announce && shown.announce !== announced) announce((announced = shown.announce));
}

// Screen readers hear of changes of state only, never of figures.
function announceChanges(before, after) {
  if (!before) return;
  const was = new Map(before.replicas.map((replica) => [replica.replica, replica.state]));
  const is = new Map(after.replicas.map((replica) => [replica.replica, replica.state]));
  const news = [];
  for (const [name, state] of is) {
    if (!was.has(name)) news.push(`Replica ${name} has joined.`);
    else if (was.get(name) !== state) news.push(`Replica ${name} is ${word(state)}.`);
  }
  for (const name of was.keys()) if (!is.has(name)) news.push(`Replica ${name} has gone.`);
  const rolledBack = (seen) => seen.routes.filter((route) => Object.keys(route.rollbacks).length).map((route) => route.model);
  for (const model of rolledBack(after)) {
    if (!rolledBack(before).includes(model)) news.push(`The candidate of ${model} was rolled back.`);
  }
  if (!before.reasons.length && after.reasons.length) news.push(`Requests are being refused: ${word(after.reasons[0].reason)}.`);
  if (before.reasons.length && !after.reasons.length) news.push("Nothing is being refused any more.");
  if (news.length) announce(news.map(capital).join(" "));
}

function announce(text) {
  say($("announce"), text);
}

connection.start();
setInterval(showLink, 500);
window.addEventListener("resize", markScrollers);
