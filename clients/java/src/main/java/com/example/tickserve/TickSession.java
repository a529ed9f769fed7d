package com.example.tickserve;

import com.tickserve.v1.BarHistory;
import com.tickserve.v1.OpenStream;
import com.tickserve.v1.PredictionServiceGrpc;
import com.tickserve.v1.Priority;
import com.tickserve.v1.StreamOpened;
import com.tickserve.v1.StreamTicksRequest;
import com.tickserve.v1.StreamTicksResponse;
import com.tickserve.v1.SymbolState;
import com.tickserve.v1.Tick;
import com.tickserve.v1.WindowReset;
import io.grpc.Channel;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;

/** A session that sends past bars and new ones, and prints each prediction until the service has said all. */
final class TickSession implements ClientResponseObserver<StreamTicksRequest, StreamTicksResponse> {
    // A first window needs 120 bars: with as many less one of history, each tick leads to a prediction.
    private static final int HISTORY_BARS = 119;
    private static final int TICK_BARS = 5;

    private final Channel channel;
    private final String symbol;
    private final long timeoutNanos;
    private final CompletableFuture<Void> ended = new CompletableFuture<>();
    private ClientCallStreamObserver<StreamTicksRequest> requests;
    private boolean isOpen;

    TickSession(Channel channel, String symbol, long timeoutNanos) {
        this.channel = channel;
        this.symbol = symbol;
        this.timeoutNanos = timeoutNanos;
    }

    /** Runs the session to its end; throws StatusRuntimeException with the error that broke it. */
    void run() throws InterruptedException {
        OpenStream open = OpenStream.newBuilder()
                .addSymbols(symbol)
                .setPriority(Priority.PRIORITY_REAL_TIME)
                .build();
        // A session has no deadline of its own; this one is short, and must not outlast the program's patience.
        var sending = PredictionServiceGrpc.newStub(channel)
                .withDeadlineAfter((TICK_BARS + 1) * timeoutNanos, TimeUnit.NANOSECONDS)
                .streamTicks(this);
        sending.onNext(StreamTicksRequest.newBuilder().setOpen(open).build());
        try {
            ended.get();
        } catch (ExecutionException error) {
            throw Status.fromThrowable(error.getCause()).asRuntimeException(Status.trailersFromThrowable(error.getCause()));
        }
        if (!isOpen) {
            throw new IllegalStateException("the session was not opened");
        }
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<StreamTicksRequest> stream) {
        requests = stream;
    }

    // gRPC calls the following one at a time, and goes on reading only when they have returned. What is sent from here
    // is few and small; who sends without end watches ClientCallStreamObserver.isReady.
    @Override
    public void onNext(StreamTicksResponse response) {
        switch (response.getMessageCase()) {
            case OPENED -> {
                isOpen = true;
                sendBars(response.getOpened());
            }
            case PREDICTION -> {
                var answer = response.getPrediction();
                System.out.printf(
                        "tick symbol=%s sequence=%d %s%n",
                        answer.getSymbol(), answer.getSequence(), Predictions.show(answer.getPrediction()));
            }
            case ERROR -> {
                var failure = response.getError();
                System.out.println(Refusal.of(failure.getError()).show("tick_error sequence=" + failure.getSequence()));
                if (!isOpen) {
                    requests.onCompleted(); // `open` was refused: nothing can follow
                }
            }
            case GAP -> System.out.printf(
                    "gap first=%d last=%d%n",
                    response.getGap().getFirstMissingSequence(), response.getGap().getLastMissingSequence());
            case DRAIN -> System.out.println("drain"); // one that goes on would open its session anew elsewhere
            default -> { }
        }
    }

    @Override
    public void onError(Throwable error) {
        ended.completeExceptionally(error);
    }

    @Override
    public void onCompleted() {
        ended.complete(null);
    }

    /** Fills the window, sends one bar that is refused and some that are answered, and closes its side. */
    private void sendBars(StreamOpened opened) {
        SymbolState state = opened.getSymbols(0);
        System.out.printf(
                "opened symbol=%s next_sequence=%d have=%d need=%d%n",
                state.getSymbol(), state.getNextSequence(), state.getHave(), state.getNeed());
        long interval = opened.getBarInterval().getSeconds();
        long sequence = state.getNextSequence();
        if (sequence > 1) { // the service holds a window of an earlier session, whose bars are not ours
            WindowReset reset = WindowReset.newBuilder().setReason("the example starts over").build();
            send(Tick.newBuilder().setSequence(sequence++).setReset(reset));
        }
        BarHistory.Builder history = BarHistory.newBuilder().setSymbol(symbol);
        for (int number = 0; number < HISTORY_BARS; number++) {
            history.addBars(Market.bar(number, interval));
        }
        requests.onNext(StreamTicksRequest.newBuilder().setHistory(history).build());
        // Refused; its number is not used up, and the stream goes on.
        var wrong = Market.bar(HISTORY_BARS, interval).toBuilder().setLowPrice(-1);
        send(Tick.newBuilder().setSequence(sequence).setBar(wrong));
        for (int number = HISTORY_BARS; number < HISTORY_BARS + TICK_BARS; number++) {
            send(Tick.newBuilder().setSequence(sequence++).setBar(Market.bar(number, interval)));
        }
        requests.onCompleted();
    }

    private void send(Tick.Builder tick) {
        tick.setSymbol(symbol).setValidDuration(Predictions.duration(timeoutNanos)); // what a prediction is of use for
        requests.onNext(StreamTicksRequest.newBuilder().setTick(tick).build());
    }
}
