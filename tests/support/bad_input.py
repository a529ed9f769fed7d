"""The table of bad inputs: what is sent, and the typed error that must come back. Data only.

The same table is run against our own gRPC server (contract tests) and against the service under Ray (integration
tests), both with default limits and a model of the real feature schema. `raw_client.provoke` runs a case.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from model.feature_schema import FEATURE_COUNT, SCHEMA_ID
from tests.support import messages as m
from tickserve.v1 import tick_pb2
from tickserve.v1.model_service_pb2 import GetModelRequest, ListModelsRequest
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchRequest,
    PredictRequest,
    StreamPredictRequest,
    StreamTicksRequest,
)
from tickserve.v1.window_pb2 import FloatValues

GARBAGE = b"\xff\xff\xff\xff garbage \x00\x01"
"""No message of the contract."""
MAX_REQUEST_BYTES = 4 * 1024 * 1024
MAX_WINDOWS = 64
INT64_MAX = 2**63 - 1
_LONGEST = 315_576_000_000

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_NOT_FOUND = grpc.StatusCode.NOT_FOUND
_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def _nothing() -> Sequence[bytes]:
    return ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BadInput:
    """One bad input.

    Attributes:
        name: Unique; the test's id.
        method: Short name of the RPC.
        request: Makes the bad message.
        code: Expected.
        reason: Expected `ErrorInfo.reason`.
        field: Expected path in the `BadRequest`, from the request message on; not looked at for codes that have none.
        metadata: Expected in `ErrorInfo.metadata`, among others.
        before: Makes what is sent on the stream before; for streamed methods only.
        in_item: The message is a PredictBatchRequest of three items of which the middle one is bad.
    """

    name: str
    method: str
    request: Callable[[], bytes]
    code: grpc.StatusCode
    reason: str
    field: str = ""
    metadata: Mapping[str, str] = dataclasses.field(default_factory=dict)
    before: Callable[[], Sequence[bytes]] = _nothing
    in_item: bool = False


# What is wrong with a window, as fields that replace those of a valid one.
_WINDOWS: tuple[tuple[str, dict[str, Any], str, str, dict[str, str]], ...] = (
    ("few features", {"feature_count": 49}, "INVALID_SHAPE", "feature_count", {"have": "49", "need": "50"}),
    ("no features", {"feature_count": 0}, "INVALID_SHAPE", "feature_count", {}),
    ("negative features", {"feature_count": -50}, "INVALID_SHAPE", "feature_count", {}),
    ("many features", {"feature_count": 2**31 - 1}, "INVALID_SHAPE", "feature_count", {}),
    ("few steps", {"time_steps": 59}, "INVALID_SHAPE", "time_steps", {"have": "59", "need": "60"}),
    ("many steps", {"time_steps": 61}, "INVALID_SHAPE", "time_steps", {}),
    (
        "one byte short",
        {"raw_float32": m.floats()[:-1]},
        "INVALID_SHAPE",
        "raw_float32",
        {"have": "11999", "need": "12000"},
    ),
    ("one float too many", {"raw_float32": m.floats(count=3001)}, "INVALID_SHAPE", "raw_float32", {}),
    ("no bytes", {"raw_float32": b""}, "INVALID_SHAPE", "raw_float32", {"have": "0"}),
    (
        "few numbers",
        {"raw_float32": None, "values": FloatValues(values=[0.0] * 2999)},
        "INVALID_SHAPE",
        "values",
        {"have": "2999", "need": "3000"},
    ),
    ("no numbers", {"raw_float32": None, "values": FloatValues()}, "INVALID_SHAPE", "values", {}),
    ("no data", {"raw_float32": None}, "MISSING_INPUT", "", {}),
    (
        "NaN",
        {"raw_float32": m.floats(at=1234, value=math.nan)},
        "NON_FINITE_VALUE",
        "raw_float32",
        {"index": "1234"},
    ),
    ("infinity", {"raw_float32": m.floats(at=0, value=math.inf)}, "NON_FINITE_VALUE", "raw_float32", {"index": "0"}),
    ("minus infinity", {"raw_float32": m.floats(at=2999, value=-math.inf)}, "NON_FINITE_VALUE", "raw_float32", {}),
    (
        "NaN among numbers",
        {"raw_float32": None, "values": FloatValues(values=[*[0.0] * 2999, math.nan])},
        "NON_FINITE_VALUE",
        "values",
        {"index": "2999"},
    ),
    (
        "wrong schema",
        {"feature_schema": "other-v9"},
        "FEATURE_SCHEMA_MISMATCH",
        "feature_schema",
        {"have": "other-v9", "need": SCHEMA_ID},
    ),
    ("time after year 9999", {"as_of_time": Timestamp(seconds=253402300800)}, "MALFORMED_MESSAGE", "as_of_time", {}),
    ("time with odd nanos", {"as_of_time": Timestamp(nanos=-1)}, "MALFORMED_MESSAGE", "as_of_time", {}),
)

# What is wrong with a request as a whole, as fields that replace those of a valid one.
_TERMS: tuple[tuple[str, dict[str, Any], grpc.StatusCode, str, str], ...] = (
    ("unknown model", {"model": m.model("no_such_model")}, _NOT_FOUND, "MODEL_NOT_FOUND", ""),
    ("unknown version", {"model": m.model(version=999)}, _NOT_FOUND, "MODEL_NOT_FOUND", ""),
    ("negative version", {"model": m.model(version=-1)}, _NOT_FOUND, "MODEL_NOT_FOUND", ""),
    ("greatest version", {"model": m.model(version=INT64_MAX)}, _NOT_FOUND, "MODEL_NOT_FOUND", ""),
    ("path as model", {"model": m.model("../../etc/passwd", 1)}, _NOT_FOUND, "MODEL_NOT_FOUND", ""),
    ("long model", {"model": m.model("m\U0001f600" * 9999)}, _NOT_FOUND, "MODEL_NOT_FOUND", ""),
    ("unknown priority", {"priority": 4}, _INVALID, "INVALID_PRIORITY", "priority"),
    ("negative priority", {"priority": -1}, _INVALID, "INVALID_PRIORITY", "priority"),
    ("zero timeout", {"timeout": m.duration()}, _INVALID, "INVALID_TIMEOUT", "timeout"),
    ("negative timeout", {"timeout": m.duration(-1)}, _INVALID, "INVALID_TIMEOUT", "timeout"),
    ("negative nanos", {"timeout": m.duration(0, -1)}, _INVALID, "INVALID_TIMEOUT", "timeout"),
    ("mixed signs", {"timeout": m.duration(1, -1)}, _INVALID, "INVALID_TIMEOUT", "timeout"),
    ("nanos of a second", {"timeout": m.duration(1, 10**9)}, _INVALID, "INVALID_TIMEOUT", "timeout"),
    ("timeout out of range", {"timeout": m.duration(_LONGEST + 1)}, _INVALID, "INVALID_TIMEOUT", "timeout"),
    ("greatest timeout", {"timeout": m.duration(INT64_MAX)}, _INVALID, "INVALID_TIMEOUT", "timeout"),
    ("zero max_age", {"max_age": m.duration()}, _INVALID, "INVALID_TIMEOUT", "max_age"),
    ("negative max_age", {"max_age": m.duration(-5)}, _INVALID, "INVALID_TIMEOUT", "max_age"),
)

# What is wrong with a bar.
_BARS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("no start", {"start_time": None}, "start_time"),
    ("start after year 9999", {"start_time": Timestamp(seconds=253402300800)}, "start_time"),
    ("start with odd nanos", {"start_time": Timestamp(seconds=1, nanos=10**9)}, "start_time"),
    ("zero price", {"open_price": 0.0}, "open_price"),
    ("negative price", {"low_price": -1.0}, "low_price"),
    ("NaN price", {"close_price": math.nan}, "close_price"),
    ("infinite price", {"high_price": math.inf}, "high_price"),
    ("high below close", {"high_price": 1.0999}, "high_price"),
    ("low above open", {"low_price": 1.1001}, "low_price"),
    ("negative volume", {"volume": -1.0}, "volume"),
    ("endless volume", {"volume": 1e300}, "volume"),
)


def _cases() -> list[BadInput]:
    return [*_window_cases(), *_terms_cases(), *_shape_cases(), *_model_cases(), *_tick_cases(), *_bar_cases()]


def _window_cases() -> list[BadInput]:
    cases = []
    for name, fields, reason, path, metadata in _WINDOWS:
        where = f"window.{path}" if path else "window"
        for method in ("Predict", "StreamPredict", "PredictBatch"):

            def request(fields: dict[str, Any] = fields, method: str = method) -> bytes:
                window = m.spoilt_window(**fields)
                if method == "Predict":
                    return m.predict(window=window).SerializeToString()
                if method == "StreamPredict":
                    return m.item("bad", window=window).SerializeToString()
                good = PredictBatchItem(window=m.window())
                return m.batch([good, PredictBatchItem(window=window), good]).SerializeToString()

            cases.append(
                BadInput(
                    name=f"{method}: {name}",
                    method=method,
                    request=request,
                    code=_INVALID,
                    reason=reason,
                    field=f"items[1].{where}" if method == "PredictBatch" else where,
                    metadata=metadata,
                    in_item=method == "PredictBatch",
                )
            )
    return cases


def _terms_cases() -> list[BadInput]:
    makers = {"Predict": m.predict, "PredictBatch": m.batch, "StreamPredict": m.item}
    return [
        BadInput(
            name=f"{method}: {name}",
            method=method,
            request=lambda make=make, fields=fields: make(**fields).SerializeToString(),  # type: ignore[misc]
            code=code,
            reason=reason,
            field=path,
        )
        for name, fields, code, reason, path in _TERMS
        for method, make in makers.items()
    ]


def _oversized() -> bytes:
    """A message just above our own limit, and below the transport's."""
    return PredictRequest(request_id="x" * MAX_REQUEST_BYTES).SerializeToString()


def _shape_cases() -> list[BadInput]:
    def case(name: str, method: str, request: Callable[[], bytes], reason: str, path: str = "") -> BadInput:
        return BadInput(
            name=f"{method}: {name}", method=method, request=request, code=_INVALID, reason=reason, field=path
        )

    every = ("Predict", "PredictBatch", "StreamPredict", "StreamTicks", "ListModels", "GetModel", "GetStatistics")
    return [
        *(case("garbage", method, lambda: GARBAGE, "MALFORMED_MESSAGE") for method in every),
        *(case("over our size", method, _oversized, "LIMIT_EXCEEDED") for method in every),
        case("empty message", "Predict", lambda: b"", "MISSING_INPUT", "input"),
        case("no items", "PredictBatch", lambda: PredictBatchRequest().SerializeToString(), "MISSING_INPUT", "items"),
        case(
            "too many windows",
            "PredictBatch",
            lambda: m.batch([PredictBatchItem()] * (MAX_WINDOWS + 1)).SerializeToString(),
            "TOO_MANY_WINDOWS",
            "items",
        ),
        case("empty message", "StreamPredict", lambda: b"", "MISSING_INPUT", "request_id"),
        case(
            "no input",
            "StreamPredict",
            lambda: StreamPredictRequest(request_id="bad").SerializeToString(),
            "MISSING_INPUT",
            "input",
        ),
        case(
            "long request_id", "Predict", lambda: m.predict(request_id="x" * 129).SerializeToString(), "LIMIT_EXCEEDED",
            "request_id",
        ),
        case(
            "long request_id", "StreamPredict", lambda: m.item("x" * 129).SerializeToString(), "LIMIT_EXCEEDED",
            "request_id",
        ),
        BadInput(
            name="PredictBatch: item without input",
            method="PredictBatch",
            request=lambda: m.batch(
                [PredictBatchItem(window=m.window()), PredictBatchItem(), PredictBatchItem(window=m.window())]
            ).SerializeToString(),
            code=_INVALID,
            reason="MISSING_INPUT",
            field="items[1].input",
            in_item=True,
        ),
        case(
            "bad symbol", "Predict", lambda: m.predict(symbol="A B").SerializeToString(), "INVALID_SYMBOL", "symbol"
        ),
        case("empty symbol", "Predict", lambda: m.predict(symbol="").SerializeToString(), "INVALID_SYMBOL", "symbol"),
        case(
            "long symbol", "Predict", lambda: m.predict(symbol="A" * 65).SerializeToString(), "INVALID_SYMBOL", "symbol"
        ),
        BadInput(
            name="Predict: unknown symbol",
            method="Predict",
            request=lambda: m.predict(symbol="NO.SUCH.SYMBOL").SerializeToString(),
            code=_NOT_FOUND,
            reason="SYMBOL_NOT_FOUND",
            metadata={"symbol": "NO.SUCH.SYMBOL"},
        ),
    ]  # fmt: skip


def _model_cases() -> list[BadInput]:
    def pages(**fields: Any) -> Callable[[], bytes]:
        return lambda: ListModelsRequest(**fields).SerializeToString()

    return [
        BadInput(
            name=f"ListModels: {name}", method="ListModels", request=request, code=_INVALID, reason=reason, field=path
        )
        for name, request, reason, path in (
            ("negative page", pages(page_size=-1), "LIMIT_EXCEEDED", "page_size"),
            ("large page", pages(page_size=1001), "LIMIT_EXCEEDED", "page_size"),
            ("forged token", pages(page_token="next"), "MALFORMED_MESSAGE", "page_token"),
            ("negative token", pages(page_token="-1"), "MALFORMED_MESSAGE", "page_token"),
            ("foreign digits", pages(page_token="\u0661"), "MALFORMED_MESSAGE", "page_token"),
        )
    ] + [
        BadInput(
            name=f"GetModel: {name}",
            method="GetModel",
            request=lambda reference=reference: GetModelRequest(model=reference).SerializeToString(),  # type: ignore[misc]
            code=_NOT_FOUND,
            reason="MODEL_NOT_FOUND",
        )
        for name, reference in (("unknown model", m.model("no_such_model")), ("unknown version", m.model(version=999)))
    ]


def _opened(symbol: str, *messages: StreamTicksRequest) -> Callable[[], Sequence[bytes]]:
    return lambda: [message.SerializeToString() for message in (m.opening(symbol), *messages)]


def _tick_cases() -> list[BadInput]:
    cases: list[BadInput] = []

    def add(
        name: str,
        message: StreamTicksRequest,
        reason: str,
        path: str = "",
        *,
        code: grpc.StatusCode = _INVALID,
        before: Callable[[], Sequence[bytes]] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        cases.append(
            BadInput(
                name=f"StreamTicks: {name}",
                method="StreamTicks",
                request=message.SerializeToString,
                code=code,
                reason=reason,
                field=path,
                before=before or _opened("BAD"),
                metadata=metadata or {},
            )
        )

    not_open = tick_pb2.Watermark()
    add("tick before open", m.tick("BAD"), "STREAM_NOT_OPEN", code=_PRECONDITION, before=_nothing)
    add("history before open", m.history("BAD", []), "STREAM_NOT_OPEN", code=_PRECONDITION, before=_nothing)
    add(
        "watermark before open",
        StreamTicksRequest(watermark=not_open),
        "STREAM_NOT_OPEN",
        code=_PRECONDITION,
        before=_nothing,
    )
    add("second open", m.opening("OTHER"), "STREAM_ALREADY_OPEN", code=_PRECONDITION)
    add("tick for an unopened symbol", m.tick("OTHER"), "SYMBOL_NOT_OPEN", code=_PRECONDITION)
    add("history for an unopened symbol", m.history("OTHER", []), "SYMBOL_NOT_OPEN", code=_PRECONDITION)
    add("empty message", StreamTicksRequest(), "MISSING_INPUT", "message")
    add("no sequence", m.tick("BAD", 0), "INVALID_TICK", "tick.sequence")
    add("negative sequence", m.tick("BAD", -1), "INVALID_TICK", "tick.sequence")
    add("greatest sequence", m.tick("BAD", INT64_MAX, bar=m.bar()), "INVALID_TICK", "tick.sequence")
    add("no event", StreamTicksRequest(tick=tick_pb2.Tick(symbol="BAD", sequence=1)), "INVALID_TICK", "tick.event")
    for name, price, size, path in (
        ("zero price", 0.0, 1.0, "price"),
        ("negative price", -1.0, 1.0, "price"),
        ("NaN price", math.nan, 1.0, "price"),
        ("infinite price", math.inf, 1.0, "price"),
        ("negative size", 1.0, -1.0, "size"),
        ("NaN size", 1.0, math.nan, "size"),
        ("endless size", 1.0, 1e300, "size"),
    ):
        trade = tick_pb2.Trade(price=price, size=size)
        message = m.tick("BAD", trade=trade, event_time=Timestamp(seconds=m.START))
        add(f"trade: {name}", message, "INVALID_TICK", f"tick.trade.{path}")
    good = tick_pb2.Trade(price=1.0, size=1.0)
    add("trade without time", m.tick("BAD", trade=good), "INVALID_TICK", "tick.event_time")
    add(
        "trade of a closed bar",
        m.tick("BAD.LATE", 2, trade=good, event_time=Timestamp(seconds=m.START - 1)),
        "INVALID_TICK",
        "tick.event_time",
        before=_opened("BAD.LATE", m.tick("BAD.LATE", trade=good, event_time=Timestamp(seconds=m.START))),
        metadata={"closed_until": f"{m.START}.000"},
    )
    add(
        "correction without bar",
        m.tick("BAD", correction=tick_pb2.BarCorrection()),
        "INVALID_TICK",
        "tick.correction.bar.start_time",
    )
    add(
        "correction of nothing",
        m.tick("BAD", correction=tick_pb2.BarCorrection(bar=m.bar())),
        "INVALID_TICK",
        "tick.correction.bar.start_time",
        metadata={"newest": "none"},
    )
    add(
        "long reason",
        m.tick("BAD", reset=tick_pb2.WindowReset(reason="x" * 257)),
        "INVALID_TICK",
        "tick.reset.reason",
    )
    add("watermark without time", StreamTicksRequest(watermark=not_open), "INVALID_TICK", "watermark.event_time")
    # A time in milliseconds that is sent as seconds: in the year 5138.
    far = Timestamp(seconds=100_000_000_000)
    add("far watermark", StreamTicksRequest(watermark=tick_pb2.Watermark(event_time=far)), "INVALID_TICK",
        "watermark.event_time")  # fmt: skip
    add("far trade", m.tick("BAD", trade=good, event_time=far), "INVALID_TICK", "tick.event_time")
    add("far bar", m.tick("BAD", bar=m.bar(start_time=far)), "INVALID_TICK", "tick.bar.start_time")
    add("far history", m.history("BAD", [m.bar(), m.bar(start_time=far)]), "INVALID_TICK", "history.bars[1].start_time")
    add("zero validity", m.tick("BAD", valid_duration=m.duration()), "INVALID_TIMEOUT", "tick.valid_duration")
    add(
        "event time after year 9999",
        m.tick("BAD", event_time=Timestamp(seconds=253402300800)),
        "INVALID_TICK",
        "tick.event_time",
    )
    add(
        "few features",
        m.tick("BAD", features=tick_pb2.FeatureRow(values=[0.0] * 49)),
        "INVALID_SHAPE",
        "tick.features.values",
        metadata={"have": "49", "need": "50"},
    )
    add(
        "NaN feature",
        m.tick("BAD", features=tick_pb2.FeatureRow(values=[math.nan] * FEATURE_COUNT)),
        "NON_FINITE_VALUE",
        "tick.features.values",
    )
    add(
        "features of another schema",
        m.tick("BAD", features=tick_pb2.FeatureRow(values=[0.0] * FEATURE_COUNT, feature_schema="x")),
        "FEATURE_SCHEMA_MISMATCH",
        "tick.features.feature_schema",
    )
    add(
        "bar twice",
        m.tick("BAD.TWICE", 2, bar=m.bar(1)),
        "INVALID_TICK",
        "tick.bar.start_time",
        before=_opened("BAD.TWICE", m.tick("BAD.TWICE", 1)),
    )
    add(
        "bar back in time",
        m.tick("BAD.THEN", 2, bar=m.bar(-5)),
        "INVALID_TICK",
        "tick.bar.start_time",
        before=_opened("BAD.THEN", m.tick("BAD.THEN", 1)),
    )
    add(
        "features after bars",
        m.tick("BAD.MIXED", 2, features=tick_pb2.FeatureRow(values=[0.0] * FEATURE_COUNT)),
        "INVALID_TICK",
        "tick.features",
        before=_opened("BAD.MIXED", m.tick("BAD.MIXED", 1)),
    )
    add("negative last_sequence", m.history("BAD", [], -1), "INVALID_TICK", "history.last_sequence")
    add("greatest last_sequence", m.history("BAD", [], INT64_MAX), "INVALID_TICK", "history.last_sequence")
    add("disordered history", m.history("BAD", [m.bar(5), m.bar(4)]), "INVALID_TICK", "history.bars[1].start_time")
    add(
        "history before ticks",
        m.history("BAD.BACK", [m.bar(9)], 1),
        "INVALID_TICK",
        "history.last_sequence",
        before=_opened("BAD.BACK", m.tick("BAD.BACK", 1), m.tick("BAD.BACK", 2)),
    )
    for name, message, reason, path in (
        ("no symbols", m.opening(), "INVALID_SYMBOL", "open.symbols"),
        ("bad symbol", m.opening("GOOD", "BAD SYMBOL"), "INVALID_SYMBOL", "open.symbols[1]"),
        ("empty symbol", m.opening(""), "INVALID_SYMBOL", "open.symbols[0]"),
        ("symbol with a null", m.opening("A\0B"), "INVALID_SYMBOL", "open.symbols[0]"),
        ("symbol with a line", m.opening("A\r\nB"), "INVALID_SYMBOL", "open.symbols[0]"),
        ("symbol that ends a line", m.opening("A\n"), "INVALID_SYMBOL", "open.symbols[0]"),
        ("symbol that turns around", m.opening("A\u202eB"), "INVALID_SYMBOL", "open.symbols[0]"),
        ("symbol of 3 MB", m.opening("A" * 3_000_000), "INVALID_SYMBOL", "open.symbols[0]"),
        ("symbol of 10 MB", m.opening("A" * 10_000_000), "LIMIT_EXCEEDED", ""),
        ("100 000 symbols", m.opening(*(f"S{number}" for number in range(100_000))), "LIMIT_EXCEEDED", "open.symbols"),
        ("symbol twice", m.opening("A", "A"), "INVALID_SYMBOL", "open.symbols"),
        ("too many symbols", m.opening(*map(str, range(10_001))), "LIMIT_EXCEEDED", "open.symbols"),
        ("open with unknown priority", m.opening("A", priority=9), "INVALID_PRIORITY", "open.priority"),
        ("negative predict_every", m.opening("A", predict_every=-1), "INVALID_TICK", "open.predict_every"),
        (
            "resume point after year 9999",
            m.opening("A", resume=[tick_pb2.ResumePoint(symbol="A", last_answered_as_of_time=Timestamp(nanos=-1))]),
            "INVALID_TICK",
            "open.resume[0].last_answered_as_of_time",
        ),
        (
            "negative resume point",
            m.opening("A", resume=[tick_pb2.ResumePoint(symbol="A", last_answered_sequence=-1)]),
            "INVALID_TICK",
            "open.resume[0].last_answered_sequence",
        ),
    ):
        add(name, message, reason, path, before=_nothing)
    add(
        "resume of an unopened symbol",
        m.opening("A", resume=[tick_pb2.ResumePoint(symbol="B")]),
        "SYMBOL_NOT_OPEN",
        code=_PRECONDITION,
        before=_nothing,
    )
    add(
        "open with unknown model",
        m.opening("A", model=m.model("no_such_model")),
        "MODEL_NOT_FOUND",
        code=_NOT_FOUND,
        before=_nothing,
    )
    return cases


def _bar_cases() -> list[BadInput]:
    cases = []
    for name, fields, path in _BARS:

        def spoilt(fields: dict[str, Any] = fields) -> tick_pb2.Bar:
            bar = m.bar(**{key: value for key, value in fields.items() if value is not None})
            for key, value in fields.items():
                if value is None:
                    bar.ClearField(key)  # type: ignore[arg-type]  # a name from the table
            return bar

        for kind, request, where in (
            ("tick", lambda spoilt=spoilt: m.tick("BAD", bar=spoilt()), "tick.bar"),
            ("history", lambda spoilt=spoilt: m.history("BAD", [m.bar(-1), spoilt()]), "history.bars[1]"),
        ):
            cases.append(
                BadInput(
                    name=f"StreamTicks: {kind}: {name}",
                    method="StreamTicks",
                    request=lambda request=request: request().SerializeToString(),  # type: ignore[misc]
                    code=_INVALID,
                    reason="INVALID_TICK",
                    field=f"{where}.{path}",
                    before=_opened("BAD"),
                )
            )
    return cases


BAD_INPUTS: tuple[BadInput, ...] = tuple(_cases())
