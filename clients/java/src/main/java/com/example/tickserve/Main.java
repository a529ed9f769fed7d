package com.example.tickserve;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import java.io.IOException;
import java.util.concurrent.TimeUnit;

/**
 * Asks tickserve for predictions: a health check, Predict with a deadline and a priority, refusals and what they say,
 * and a tick session. Prints one line of {@code name key=value ...} for each thing that it learns.
 */
public final class Main {
    private static final int EXIT_FAILED = 1;
    private static final int EXIT_USAGE = 2;

    private Main() {}

    public static void main(String[] arguments) throws InterruptedException {
        Options options;
        ManagedChannel channel;
        try {
            options = Options.parse(arguments);
            channel = Connection.open(options, System.getenv("TICKSERVE_API_KEY"));
        } catch (IllegalArgumentException | IOException error) {
            System.err.println(error.getMessage() + "\n" + Options.USAGE);
            System.exit(EXIT_USAGE);
            return;
        }
        int exit = 0;
        try {
            run(channel, options);
        } catch (StatusRuntimeException error) {
            System.err.println(Refusal.of(error).show("failed"));
            exit = EXIT_FAILED;
        } catch (IllegalStateException | IOException error) {
            System.err.println("failed message=\"" + error.getMessage() + "\"");
            exit = EXIT_FAILED;
        } finally {
            channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
        }
        System.exit(exit);
    }

    private static void run(ManagedChannel channel, Options options) throws IOException, InterruptedException {
        float[] values = Market.windowValues(options.window());
        checkHealth(channel, options);
        Predictions predictions = new Predictions(channel, options.timeoutNanos());
        predictions.predictBothForms(values);
        predictions.beRefused(values);
        predictions.sendTooMany(values);
        new TickSession(channel, options.symbol(), options.timeoutNanos()).run();
    }

    private static void checkHealth(ManagedChannel channel, Options options) {
        HealthCheckRequest request =
                HealthCheckRequest.newBuilder().setService("tickserve.v1.PredictionService").build();
        var answer = HealthGrpc.newBlockingStub(channel)
                .withDeadlineAfter(options.timeoutNanos(), TimeUnit.NANOSECONDS)
                .check(request);
        System.out.println("health status=" + answer.getStatus());
    }
}
