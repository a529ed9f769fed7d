// What each reason of a refusal means to whoever operates the service. The names are those of `ErrorInfo.reason`.

const OURS = {
  QUEUE_FULL: "The queue is at its limit: more load than the engines can take.",
  PREDICTED_DEADLINE_MISS: "It could not have been answered before its deadline, so it was refused at once.",
  DISPLACED: "It made room for a more urgent class.",
  EXPIRED_IN_QUEUE: "Its deadline passed before an engine was free.",
  EXPIRED_IN_EXECUTION: "Its deadline passed while the engine computed.",
  DRAINING: "The replica is leaving; another one answers a retry.",
  MODEL_LOADING: "The model is not in memory yet.",
  STORE_UNAVAILABLE: "The store of the symbols' windows does not answer.",
  HALTED: "An operator has halted it; `tickserve halts` says why.",
  HALT_STORE_UNAVAILABLE: "A halt or a resume could not be stored.",
  DECISION_LOG_UNAVAILABLE: "Its decision could not be logged, and the settings want every decision logged.",
  INFERENCE_FAILED: "A fault of ours: the log has the cause under the trace id.",
};

const CALLERS = {
  MISSING_INPUT: "Neither a window nor a symbol.",
  MALFORMED_MESSAGE: "Bytes that are no message of the contract.",
  INVALID_SHAPE: "A window of another shape than the model's.",
  NON_FINITE_VALUE: "A window with a value that is not a number.",
  FEATURE_SCHEMA_MISMATCH: "Features of another schema than the model's.",
  INVALID_TIMEOUT: "A timeout that is not positive.",
  INVALID_PRIORITY: "A class that callers may not ask for.",
  INVALID_TICK: "A tick that cannot be applied.",
  INVALID_SYMBOL: "A symbol that is no valid name.",
  TOO_MANY_WINDOWS: "More windows in one request than allowed.",
  LIMIT_EXCEEDED: "A limit of the contract was exceeded.",
  INVALID_TENSOR: "A tensor of the Open Inference Protocol that the model does not have.",
  MODEL_NOT_FOUND: "A model or version that is not there.",
  SYMBOL_NOT_FOUND: "A symbol that has no window.",
  WINDOW_INCOMPLETE: "A symbol whose window is not full yet.",
  WINDOW_STALE: "A symbol whose window is older than the caller allows.",
  STREAM_NOT_OPEN: "A stream that did not begin with open.",
  STREAM_ALREADY_OPEN: "A stream that was opened twice.",
  SYMBOL_NOT_OPEN: "A symbol that the stream has not opened.",
  REQUEST_ID_REUSED: "A request id used again with another payload.",
  RATE_LIMITED: "The caller's rate, or its number of open streams, is used up.",
  EDGE_REQUIRED: "A call to a replica's own port, beside the TLS edge.",
  API_KEY_MISSING: "A call without an API key.",
  API_KEY_INVALID: "An API key that does not exist, or has expired.",
  NOT_SUPPORTED: "A part of the Open Inference Protocol that is not served.",
  METHOD_NOT_ALLOWED: "A method that the caller's API key does not open.",
  PRIORITY_NOT_ALLOWED: "A more urgent class than the caller's API key allows.",
};

// Tells whether the service is to blame, and not what was in the request.
export const isOurs = (reason) => !(reason in CALLERS);

export const meaning = (reason) => OURS[reason] ?? CALLERS[reason] ?? "";
