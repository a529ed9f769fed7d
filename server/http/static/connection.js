// Keeps the stream of events open: connects, reads, notices silence, and connects again. Knows nothing of the figures.
//
// `fetch` and not `EventSource`, which tells neither why it was refused nor that nothing has come for long.

const FIRST_RETRY = 1000;
const LAST_RETRY = 10000;
const SILENCE = 10000; // frames come once a second: after so long without one the connection is dead, whatever TCP says

export class Connection {
  // `onFrame(frame)` gets each frame; `onState({state, reason, retryAt})` each change of state:
  // connecting, live, waiting (until `retryAt`, milliseconds as of `Date.now`), paused.
  constructor(url, { onFrame, onState }) {
    this.url = url;
    this.onFrame = onFrame;
    this.onState = onState;
    this.failures = 0;
    this.abort = null;
    this.timer = 0;
    this.lastFrameAt = 0;
  }

  start() {
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.pause();
      else this.connect();
    });
    window.addEventListener("online", () => this.connect());
    if (document.hidden) this.pause();
    else this.connect();
  }

  // A page that nobody sees costs the service nothing.
  pause() {
    this.stop();
    this.onState({ state: "paused" });
  }

  stop() {
    clearTimeout(this.timer);
    this.abort?.abort();
    this.abort = null;
  }

  async connect() {
    this.stop();
    const abort = new AbortController();
    this.abort = abort;
    this.onState({ state: "connecting" });
    let watchdog = 0;
    const listen = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => abort.abort(), SILENCE);
    };
    let reason = "The connection was lost.";
    let wait = 0;
    try {
      listen();
      const answer = await fetch(this.url, { signal: abort.signal, headers: { Accept: "text/event-stream" }, cache: "no-store" });
      if (answer.ok && answer.headers.get("content-type")?.startsWith("text/event-stream")) {
        reason = (await this.read(answer.body, listen)) ?? reason;
      } else {
        wait = 1000 * Number(answer.headers.get("retry-after") ?? 0);
        reason = await refusal(answer);
      }
    } catch {
      reason = abort.signal.aborted ? "The service stopped telling." : "The service cannot be reached.";
    } finally {
      clearTimeout(watchdog);
    }
    // Another connection has taken this one's place, or the page is hidden.
    if (this.abort !== abort) return;
    this.retry(reason, wait);
  }

  // Reads until the stream ends; returns what the server said of the end, if it said anything.
  async read(body, listen) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    let last = null;
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return last;
      listen();
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const { name, data } of events.map(parse)) {
        if (name === "frame") this.take(JSON.parse(data));
        if (name === "end") last = `The replica that told is leaving.`;
      }
    }
  }

  take(frame) {
    this.failures = 0;
    this.lastFrameAt = Date.now();
    this.onState({ state: "live" });
    this.onFrame(frame);
  }

  retry(reason, wait) {
    // Somewhat by chance, or all open consoles would return to a restarted service in one moment.
    const backOff = Math.min(LAST_RETRY, FIRST_RETRY * 2 ** this.failures) * (0.75 + Math.random() / 2);
    const delay = Math.max(wait, backOff);
    this.failures += 1;
    this.onState({ state: "waiting", reason, retryAt: Date.now() + delay });
    this.timer = setTimeout(() => this.connect(), delay);
  }
}

export function parse(event) {
  let name = "message";
  const data = [];
  for (const line of event.split("\n")) {
    if (line.startsWith("event: ")) name = line.slice(7);
    if (line.startsWith("data: ")) data.push(line.slice(6));
  }
  return { name, data: data.join("\n") };
}

async function refusal(answer) {
  try {
    const problem = await answer.json();
    return `${problem.title}. ${problem.detail}`;
  } catch {
    return `The service answered ${answer.status}.`;
  }
}
