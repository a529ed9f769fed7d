package com.example.tickserve;

import com.google.protobuf.Duration;
import com.tickserve.v1.ClassProbability;
import com.tickserve.v1.FloatValues;
import com.tickserve.v1.PredictRequest;
import com.tickserve.v1.Prediction;
import com.tickserve.v1.PredictionServiceGrpc;
import com.tickserve.v1.PredictionServiceGrpc.PredictionServiceBlockingStub;
import com.tickserve.v1.Priority;
import com.tickserve.v1.Regression;
import com.tickserve.v1.Window;
import io.grpc.Channel;
import io.grpc.StatusRuntimeException;
import java.util.Locale;
import java.util.concurrent.TimeUnit;

/** Asks for predictions of single windows, one after the other. */
final class Predictions {
    /** The RPC's own deadline lies this far behind the timeout, so that the service's refusal can still arrive. */
    private static final long DEADLINE_MARGIN_NANOS = 40_000_000;

    /** Most background predictions that the program sends in a row to meet a rate limit. */
    private static final int BURST = 10;

    private final PredictionServiceBlockingStub service;
    private final long timeoutNanos;

    Predictions(Channel channel, long timeoutNanos) {
        this.service = PredictionServiceGrpc.newBlockingStub(channel);
        this.timeoutNanos = timeoutNanos;
    }

    /** Asks for one prediction, in time for whoever waits for it. */
    private Prediction predict(Window window, Priority priority) {
        PredictRequest request = PredictRequest.newBuilder()
                .setWindow(window)
                .setPriority(priority)
                .setTimeout(duration(timeoutNanos))
                .build();
        return service.withDeadlineAfter(timeoutNanos + DEADLINE_MARGIN_NANOS, TimeUnit.NANOSECONDS)
                .predict(request)
                .getPrediction();
    }

    /** Sends the window as bytes, which is what programs should do, and as numbers. */
    void predictBothForms(float[] values) {
        System.out.println("predict " + show(predict(rawWindow(values).build(), Priority.PRIORITY_REAL_TIME)));
        FloatValues.Builder numbers = FloatValues.newBuilder();
        for (float value : values) {
            numbers.addValues(value);
        }
        Window typed = rawWindow(values).setValues(numbers).build(); // takes the place of the bytes
        System.out.println("values " + show(predict(typed, Priority.PRIORITY_STANDARD)));
    }

    /** Sends a window of the wrong shape, on purpose. */
    void beRefused(float[] values) {
        Window wrong = rawWindow(values).setFeatureCount(Market.FEATURES - 1).build();
        try {
            predict(wrong, Priority.PRIORITY_STANDARD);
        } catch (StatusRuntimeException error) {
            System.out.println(Refusal.of(error).show("refused"));
            return;
        }
        throw new IllegalStateException("a window of the wrong shape was answered");
    }

    /** Sends until a rate limit, if the service has one, says when to come back; and comes back then. */
    void sendTooMany(float[] values) throws InterruptedException {
        Window window = rawWindow(values).build();
        for (int sent = 1; sent <= BURST; sent++) {
            try {
                predict(window, Priority.PRIORITY_BACKGROUND);
            } catch (StatusRuntimeException error) {
                Refusal refused = Refusal.of(error);
                if (refused.retryNanos().isEmpty()) {
                    throw error;
                }
                System.out.println(refused.show("limited"));
                TimeUnit.NANOSECONDS.sleep(refused.retryNanos().getAsLong());
                System.out.println("retried " + show(predict(window, Priority.PRIORITY_BACKGROUND)));
                return;
            }
        }
        System.out.println("unlimited sent=" + BURST);
    }

    private static Window.Builder rawWindow(float[] values) {
        return Window.newBuilder()
                .setFeatureCount(Market.FEATURES)
                .setTimeSteps(Market.STEPS)
                .setRawFloat32(Market.rawFloat32(values));
    }

    /** Writes a prediction with nine digits: enough to tell every float from its neighbours. */
    static String show(Prediction prediction) {
        StringBuilder line = new StringBuilder();
        for (ClassProbability each : prediction.getClassesList()) {
            line.append(String.format(Locale.ROOT, "%s=%.9g ", each.getLabel(), each.getProbability()));
        }
        for (Regression each : prediction.getRegressionsList()) {
            line.append(String.format(
                    Locale.ROOT,
                    "%s=%.9g %s_deviation=%.9g ",
                    each.getName(),
                    each.getMean(),
                    each.getName(),
                    each.getStandardDeviation()));
        }
        var execution = prediction.getExecution();
        return line.append(String.format(
                        "model=%s/%d input=%s priority=%s slack_ms=%d",
                        prediction.getModel().getName(),
                        prediction.getModel().getVersion(),
                        prediction.getInput().getSha256(),
                        execution.getEffectivePriority(),
                        nanos(execution.getDeadlineSlack()) / 1_000_000))
                .toString();
    }

    static Duration duration(long nanos) {
        return Duration.newBuilder()
                .setSeconds(nanos / 1_000_000_000)
                .setNanos((int) (nanos % 1_000_000_000))
                .build();
    }

    static long nanos(Duration span) {
        return span.getSeconds() * 1_000_000_000 + span.getNanos();
    }
}
