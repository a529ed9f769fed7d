// Asks tickserve for predictions: a health check, Predict with a deadline and a priority, refusals and what they say,
// and a tick session. Prints one line of `name key=value ...` for each thing that it learns.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { HealthCheckResponse_ServingStatus, HealthClient } from "../build/stubs/grpc/health/v1/health.js";
import { PredictionServiceClient } from "../build/stubs/tickserve/v1/prediction_service.js";
import { unary } from "./call.js";
import { connect } from "./connection.js";
import { windowValues } from "./market.js";
import { beRefused, predictBothForms, sendTooMany } from "./predict.js";
import { describe, refusalOf } from "./refusal.js";
import { streamTicks } from "./ticks.js";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const USAGE = `usage: node dist/src/main.js [options]
  --target=HOST:PORT       the service (127.0.0.1:9000)
  --ca=FILE                PEM file of the authority to trust: connect over TLS
  --service-config=FILE    a gRPC service config: clients/service_config.json
  --window=FILE            50 x 60 little-endian float32 (default: a made-up window)
  --timeout=SECONDS        what the service holds itself to for one answer (1)
  --symbol=NAME            symbol of the tick session (EXAMPLE-NODE)
An API key is taken from TICKSERVE_API_KEY.`;

interface Options {
  target: string;
  ca: string;
  serviceConfig: string;
  window: string;
  timeout: number;
  symbol: string;
}

function options(): Options {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: { target: text, ca: text, "service-config": text, window: text, timeout: text, symbol: text },
  });
  const timeout = Number(values.timeout ?? 1);
  if (!(timeout > 0)) throw new Error("--timeout must be greater than 0");
  return {
    target: values.target ?? "127.0.0.1:9000",
    ca: values.ca ?? "",
    serviceConfig: values["service-config"] ?? "",
    window: values.window ?? "",
    timeout,
    symbol: values.symbol ?? "EXAMPLE-NODE",
  };
}

async function run(given: Options): Promise<void> {
  const { credentials, channel, metadata } = connect(given, process.env["TICKSERVE_API_KEY"] ?? "");
  const health = new HealthClient(given.target, credentials, channel);
  const service = new PredictionServiceClient(given.target, credentials, channel);
  const caller = { service, metadata, timeout: given.timeout };
  try {
    const values = windowValues(given.window === "" ? undefined : readFileSync(given.window));
    const request = { service: "tickserve.v1.PredictionService" };
    const answer = await unary(health, health.check, request, metadata, given.timeout);
    console.log(`health status=${HealthCheckResponse_ServingStatus[answer.status]}`);
    await predictBothForms(caller, values);
    await beRefused(caller, values);
    await sendTooMany(caller, values);
    await streamTicks(caller, given.symbol);
  } finally {
    health.close();
    service.close();
  }
}

let given: Options;
try {
  given = options();
  connect(given, process.env["TICKSERVE_API_KEY"] ?? ""); // what cannot work is told before anything is tried
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  process.exit(EXIT_USAGE);
}
try {
  await run(given);
} catch (error) {
  console.error(describe("failed", refusalOf(error)));
  process.exitCode = EXIT_FAILED;
}
