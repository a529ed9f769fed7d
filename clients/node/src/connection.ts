import { readFileSync } from "node:fs";
import { ChannelCredentials, type ChannelOptions, credentials, Metadata } from "@grpc/grpc-js";

/** What every client of one service is made of, and what every call takes along. */
export interface Connection {
  credentials: ChannelCredentials;
  channel: ChannelOptions;
  metadata: Metadata;
}

/** Reads certificates and service config; throws an Error if they cannot be read, or the key would leave in the clear. */
export function connect(given: { target: string; ca: string; serviceConfig: string }, apiKey: string): Connection {
  if (apiKey !== "" && given.ca === "" && !isLocal(given.target)) {
    throw new Error(`the API key would cross the network to ${given.target} as plain text; name an authority with --ca`);
  }
  const metadata = new Metadata();
  if (apiKey !== "") metadata.set("authorization", `Bearer ${apiKey}`);
  // While a call is open a peer that has vanished is noticed within 40 s; see docs/retries.md.
  const channel: ChannelOptions = { "grpc.keepalive_time_ms": 30_000, "grpc.keepalive_timeout_ms": 10_000 };
  if (given.serviceConfig !== "") channel["grpc.service_config"] = readFileSync(given.serviceConfig, "utf-8");
  return {
    credentials: given.ca === "" ? credentials.createInsecure() : credentials.createSsl(readFileSync(given.ca)),
    channel,
    metadata,
  };
}

function isLocal(target: string): boolean {
  const host = target.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}
