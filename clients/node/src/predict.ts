import { setTimeout as sleep } from "node:timers/promises";
import type { Metadata } from "@grpc/grpc-js";
import type { Duration } from "../build/stubs/google/protobuf/duration.js";
import type { Prediction } from "../build/stubs/tickserve/v1/prediction.js";
import { PredictRequest, type PredictionServiceClient } from "../build/stubs/tickserve/v1/prediction_service.js";
import { Priority } from "../build/stubs/tickserve/v1/priority.js";
import { Window } from "../build/stubs/tickserve/v1/window.js";
import { unary } from "./call.js";
import { FEATURES, rawFloat32, STEPS } from "./market.js";
import { describe, refusalOf } from "./refusal.js";

// Most background predictions that the program sends in a row to meet a rate limit.
const BURST = 10;

/** Who calls, and how many seconds each answer may take. */
export interface Caller {
  service: PredictionServiceClient;
  metadata: Metadata;
  timeout: number;
}

/** Asks for one prediction, in time for whoever waits for it. */
async function predict(caller: Caller, window: Window, priority: Priority): Promise<Prediction> {
  const request = PredictRequest.fromPartial({
    input: { $case: "window", value: window },
    priority,
    timeout: toDuration(caller.timeout),
  });
  const response = await unary(caller.service, caller.service.predict, request, caller.metadata, caller.timeout);
  if (response.prediction === undefined) throw new Error("the service answered without a prediction");
  return response.prediction;
}

/** Sends the window as bytes, which is what programs should do, and as numbers. */
export async function predictBothForms(caller: Caller, values: Float32Array): Promise<void> {
  console.log(`predict ${show(await predict(caller, rawWindow(values), Priority.PRIORITY_REAL_TIME))}`);
  const typed = Window.fromPartial({
    featureCount: FEATURES,
    timeSteps: STEPS,
    data: { $case: "values", value: { values: Array.from(values) } },
  });
  console.log(`values ${show(await predict(caller, typed, Priority.PRIORITY_STANDARD))}`);
}

/** Sends a window of the wrong shape, on purpose. */
export async function beRefused(caller: Caller, values: Float32Array): Promise<void> {
  const wrong = { ...rawWindow(values), featureCount: FEATURES - 1 };
  const refused = await predict(caller, wrong, Priority.PRIORITY_STANDARD).then(() => undefined, refusalOf);
  if (refused === undefined) throw new Error("a window of the wrong shape was answered");
  console.log(describe("refused", refused));
}

/** Sends until a rate limit, if the service has one, says when to come back; and comes back then. */
export async function sendTooMany(caller: Caller, values: Float32Array): Promise<void> {
  const window = rawWindow(values);
  for (let sent = 1; sent <= BURST; sent++) {
    try {
      await predict(caller, window, Priority.PRIORITY_BACKGROUND);
    } catch (error) {
      const refused = refusalOf(error);
      if (refused.retryMs === undefined) throw error;
      console.log(describe("limited", refused));
      await sleep(Math.ceil(refused.retryMs));
      console.log(`retried ${show(await predict(caller, window, Priority.PRIORITY_BACKGROUND))}`);
      return;
    }
  }
  console.log(`unlimited sent=${BURST}`);
}

function rawWindow(values: Float32Array): Window {
  return Window.fromPartial({
    featureCount: FEATURES,
    timeSteps: STEPS,
    data: { $case: "rawFloat32", value: rawFloat32(values) },
  });
}

/** Writes a prediction with nine digits: enough to tell every float32 from its neighbours. */
export function show(prediction: Prediction): string {
  const { classes, regressions, model, input, execution } = prediction;
  const slack = execution?.deadlineSlack ?? { seconds: 0, nanos: 0 };
  return [
    ...classes.map((each) => `${each.label}=${each.probability.toPrecision(9)}`),
    ...regressions.map(
      (each) =>
        `${each.name}=${each.mean.toPrecision(9)} ${each.name}_deviation=${each.standardDeviation.toPrecision(9)}`,
    ),
    `model=${model?.name}/${model?.version}`,
    `input=${input?.sha256}`,
    `priority=${Priority[execution?.effectivePriority ?? Priority.PRIORITY_UNSPECIFIED]}`,
    `slack_ms=${Math.trunc(toMilliseconds(slack))}`,
  ].join(" ");
}

export function toDuration(seconds: number): Duration {
  const whole = Math.trunc(seconds);
  return { seconds: whole, nanos: Math.round((seconds - whole) * 1e9) };
}

export function toMilliseconds(span: Duration): number {
  return span.seconds * 1_000 + span.nanos / 1e6;
}
