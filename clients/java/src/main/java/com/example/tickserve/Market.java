package com.example.tickserve;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import com.tickserve.v1.Bar;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;

/** Made-up market data, the same in every language, and windows from files. */
final class Market {
    static final int FEATURES = 50;
    static final int STEPS = 60;

    private static final long FIRST_BAR = Instant.parse("2024-01-01T00:00:00Z").getEpochSecond();

    private Market() {}

    /** Returns a window's values, feature-major: those of a file, or made up where its name is empty. */
    static float[] windowValues(String file) throws IOException {
        float[] values = new float[FEATURES * STEPS];
        if (file.isEmpty()) {
            for (int i = 0; i < values.length; i++) {
                values[i] = (float) ((i * 37 % 201 - 100) / 50.0);
            }
            return values;
        }
        byte[] raw = Files.readAllBytes(Path.of(file));
        if (raw.length != Float.BYTES * values.length) {
            throw new IOException(file + " has " + raw.length + " bytes, not " + Float.BYTES * values.length);
        }
        ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
        return values;
    }

    /** Returns values as the contract's bytes: little-endian IEEE 754. */
    static ByteString rawFloat32(float[] values) {
        ByteBuffer raw = ByteBuffer.allocate(Float.BYTES * values.length).order(ByteOrder.LITTLE_ENDIAN);
        raw.asFloatBuffer().put(values);
        return ByteString.copyFrom(raw);
    }

    /** Returns the bar of a number; the interval is in seconds. */
    static Bar bar(int number, long interval) {
        double open = price(number);
        double close = price(number + 1);
        return Bar.newBuilder()
                .setStartTime(Timestamp.newBuilder().setSeconds(FIRST_BAR + number * interval))
                .setOpenPrice(open)
                .setHighPrice(Math.max(open, close) + 0.0004)
                .setLowPrice(Math.min(open, close) - 0.0004)
                .setClosePrice(close)
                .setVolume(1000 + number * 53 % 97 * 10)
                .build();
    }

    private static double price(int number) {
        return 1.1 + (number * 37 % 101 - 50) / 10000.0;
    }
}
