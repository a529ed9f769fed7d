package com.example.tickserve;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.TreeMap;

/** What an error of the service says of itself; retryNanos is empty where it names no delay. */
record Refusal(int code, String message, ErrorInfo info, OptionalLong retryNanos, List<String> fields) {

    /** Reads an RPC's error. */
    static Refusal of(StatusRuntimeException error) {
        return of(StatusProto.fromThrowable(error));
    }

    /** Reads the details of a status: of an RPC, or of one tick in a stream. */
    static Refusal of(Status said) {
        ErrorInfo info = ErrorInfo.getDefaultInstance();
        OptionalLong retry = OptionalLong.empty();
        List<String> fields = new ArrayList<>();
        try {
            for (Any detail : said.getDetailsList()) {
                if (detail.is(ErrorInfo.class)) {
                    info = detail.unpack(ErrorInfo.class);
                } else if (detail.is(RetryInfo.class)) {
                    retry = OptionalLong.of(Predictions.nanos(detail.unpack(RetryInfo.class).getRetryDelay()));
                } else if (detail.is(BadRequest.class)) {
                    for (var violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
                        fields.add(violation.getField());
                    }
                }
            }
        } catch (InvalidProtocolBufferException broken) {
            // The code and the message still stand.
        }
        return new Refusal(said.getCode(), said.getMessage(), info, retry, fields);
    }

    String show(String name) {
        StringBuilder line = new StringBuilder(name)
                .append(" code=").append(code)
                .append(" reason=").append(info.getReason())
                .append(" domain=").append(info.getDomain());
        if (!fields.isEmpty()) {
            line.append(" fields=").append(String.join(",", fields));
        }
        retryNanos.ifPresent(nanos -> line.append(" retry_ms=").append(nanos / 1_000_000));
        new TreeMap<>(info.getMetadataMap())
                .forEach((key, value) -> line.append(" metadata.").append(key).append('=').append(value));
        return line.append(" message=\"").append(message.replace("\"", "\\\"")).append('"').toString();
    }
}
