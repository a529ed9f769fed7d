import type { CallOptions, Client, ClientUnaryCall, Metadata, ServiceError } from "@grpc/grpc-js";

// The RPC's own deadline lies this far behind the timeout, so that the service's refusal can still arrive.
const DEADLINE_MARGIN_MS = 40;

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/** Makes a unary call and awaits its answer; rejects with a ServiceError. `timeout` is in seconds. */
export function unary<Request, Response>(
  client: Client,
  method: Method<Request, Response>,
  request: Request,
  metadata: Metadata,
  timeout: number,
): Promise<Response> {
  const deadline = Date.now() + timeout * 1_000 + DEADLINE_MARGIN_MS;
  return new Promise((resolve, reject) => {
    method.call(client, request, metadata, { deadline }, (error, response) =>
      error === null ? resolve(response) : reject(error),
    );
  });
}
