import { once } from "node:events";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { Status } from "../build/stubs/google/rpc/status.js";
import { type StreamTicksRequest, StreamTicksResponse } from "../build/stubs/tickserve/v1/prediction_service.js";
import { Priority } from "../build/stubs/tickserve/v1/priority.js";
import { OpenStream, type StreamOpened, Tick, type TickError } from "../build/stubs/tickserve/v1/tick.js";
import { bar } from "./market.js";
import { type Caller, show, toDuration, toMilliseconds } from "./predict.js";
import { describe, explain } from "./refusal.js";

// A first window needs 120 bars: with as many less one of history, each tick leads to a prediction.
const HISTORY_BARS = 119;
const TICK_BARS = 5;

type TickStream = ClientDuplexStream<StreamTicksRequest, StreamTicksResponse>;
type Message = NonNullable<StreamTicksRequest["message"]>;

/** Opens a session, sends past bars and new ones, and prints each prediction until the service has said all. */
export async function streamTicks(caller: Caller, symbol: string): Promise<void> {
  // A session has no deadline of its own; this one is short, and must not outlast the program's patience.
  const deadline = Date.now() + (TICK_BARS + 1) * caller.timeout * 1_000;
  const stream = caller.service.streamTicks(caller.metadata, { deadline });
  await write(stream, { $case: "open", value: OpenStream.fromPartial({ symbols: [symbol], priority: Priority.PRIORITY_REAL_TIME }) });

  // Reads and writes go on side by side: a session that only writes is held by flow control sooner or later.
  let written: Promise<void> | undefined;
  for await (const response of stream) {
    const { message } = response as StreamTicksResponse;
    switch (message?.$case) {
      case "opened":
        written = sendBars(stream, symbol, message.value, caller.timeout);
        written.catch(() => undefined); // what broke the stream is told by the iteration
        break;
      case "prediction": {
        const { sequence, prediction } = message.value;
        if (prediction !== undefined) {
          console.log(`tick symbol=${message.value.symbol} sequence=${sequence} ${show(prediction)}`);
        }
        break;
      }
      case "error":
        console.log(describe(`tick_error sequence=${message.value.sequence}`, tickRefusal(message.value)));
        if (written === undefined) stream.end(); // `open` was refused: nothing can follow
        break;
      case "gap":
        console.log(`gap first=${message.value.firstMissingSequence} last=${message.value.lastMissingSequence}`);
        break;
      case "drain": // a program that goes on would open its session anew elsewhere
        console.log("drain");
    }
  }
  if (written === undefined) throw new Error("the session was not opened");
  await written;
}

/** Fills the window, sends one bar that is refused and some that are answered, and closes its side. */
async function sendBars(stream: TickStream, symbol: string, opened: StreamOpened, timeout: number): Promise<void> {
  const [state] = opened.symbols;
  if (state === undefined || opened.barInterval === undefined) throw new Error("`opened` tells no state");
  console.log(`opened symbol=${state.symbol} next_sequence=${state.nextSequence} have=${state.have} need=${state.need}`);
  const interval = toMilliseconds(opened.barInterval) / 1_000;
  let sequence = state.nextSequence;
  const validDuration = toDuration(timeout); // what a prediction is of use for
  const tick = (event: NonNullable<Tick["event"]>): Promise<void> =>
    write(stream, { $case: "tick", value: Tick.fromPartial({ symbol, sequence, validDuration, event }) });

  if (sequence > 1) {
    // The service holds a window of an earlier session, whose bars are not ours.
    await tick({ $case: "reset", value: { reason: "the example starts over" } });
    sequence++;
  }
  const bars = Array.from({ length: HISTORY_BARS }, (_, number) => bar(number, interval));
  await write(stream, { $case: "history", value: { symbol, bars, lastSequence: 0 } });
  // Refused; its number is not used up, and the stream goes on.
  await tick({ $case: "bar", value: { ...bar(HISTORY_BARS, interval), lowPrice: -1 } });
  for (let number = HISTORY_BARS; number < HISTORY_BARS + TICK_BARS; number++) {
    await tick({ $case: "bar", value: bar(number, interval) });
    sequence++;
  }
  stream.end();
}

async function write(stream: TickStream, message: Message): Promise<void> {
  if (!stream.write({ message })) await once(stream, "drain");
}

function tickRefusal(failure: TickError): ReturnType<typeof explain> {
  return explain(failure.error ?? Status.create());
}
