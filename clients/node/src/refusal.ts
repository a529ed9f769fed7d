import { Metadata, status as codes } from "@grpc/grpc-js";
import { BadRequest, ErrorInfo, RetryInfo } from "../build/stubs/google/rpc/error_details.js";
import { Status } from "../build/stubs/google/rpc/status.js";

/** What an error of the service says of itself. */
export interface Refusal {
  code: number;
  message: string;
  info: ErrorInfo;
  /** Milliseconds after which to try again; undefined where none is given. */
  retryMs: number | undefined;
  fields: string[];
}

/** Reads the details of a status: of an RPC, or of one tick in a stream. */
export function explain(said: Status): Refusal {
  const found: Refusal = {
    code: said.code,
    message: said.message,
    info: ErrorInfo.create(),
    retryMs: undefined,
    fields: [],
  };
  for (const { typeUrl, value } of said.details) {
    switch (typeUrl) {
      case "type.googleapis.com/google.rpc.ErrorInfo":
        found.info = ErrorInfo.decode(value);
        break;
      case "type.googleapis.com/google.rpc.RetryInfo": {
        const delay = RetryInfo.decode(value).retryDelay;
        if (delay !== undefined) found.retryMs = delay.seconds * 1_000 + delay.nanos / 1e6;
        break;
      }
      case "type.googleapis.com/google.rpc.BadRequest":
        found.fields.push(...BadRequest.decode(value).fieldViolations.map((violation) => violation.field));
    }
  }
  return found;
}

/** Reads an error of gRPC's: the whole status comes as bytes in the trailers. */
export function refusalOf(error: unknown): Refusal {
  if (!(error instanceof Error)) return explain(Status.fromPartial({ code: codes.UNKNOWN, message: String(error) }));
  const [bytes] = "metadata" in error && error.metadata instanceof Metadata ? error.metadata.get("grpc-status-details-bin") : [];
  if (bytes instanceof Buffer) return explain(Status.decode(bytes));
  const code = "code" in error && typeof error.code === "number" ? error.code : codes.UNKNOWN;
  return explain(Status.fromPartial({ code, message: error.message }));
}

export function describe(name: string, refusal: Refusal): string {
  const { code, message, info, retryMs, fields } = refusal;
  return [
    `${name} code=${code} reason=${info.reason} domain=${info.domain}`,
    ...(fields.length > 0 ? [`fields=${fields.join(",")}`] : []),
    ...(retryMs === undefined ? [] : [`retry_ms=${Math.trunc(retryMs)}`]),
    ...Object.entries(info.metadata)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, value]) => `metadata.${key}=${value}`),
    `message=${JSON.stringify(message)}`,
  ].join(" ");
}
