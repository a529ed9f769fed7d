package com.example.tickserve;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/** What the program was asked to do; empty text stands for what was not given. */
record Options(String target, String ca, String serviceConfig, String window, long timeoutNanos, String symbol) {
    static final String USAGE = """
            usage: client [options]
              --target=HOST:PORT       the service (127.0.0.1:9000)
              --ca=FILE                PEM file of the authority to trust: connect over TLS
              --service-config=FILE    a gRPC service config: clients/service_config.json
              --window=FILE            50 x 60 little-endian float32 (default: a made-up window)
              --timeout=SECONDS        what the service holds itself to for one answer (1)
              --symbol=NAME            symbol of the tick session (EXAMPLE-JAVA)
            An API key is taken from TICKSERVE_API_KEY.""";

    private static final Set<String> NAMES = Set.of("target", "ca", "service-config", "window", "timeout", "symbol");

    /** Reads {@code --name=value} arguments; throws IllegalArgumentException for any other. */
    static Options parse(String[] arguments) {
        Map<String, String> given = new HashMap<>();
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            if (!argument.startsWith("--") || equals < 0 || !NAMES.contains(argument.substring(2, equals))) {
                throw new IllegalArgumentException("unknown argument: " + argument);
            }
            given.put(argument.substring(2, equals), argument.substring(equals + 1));
        }
        double timeout = Double.parseDouble(given.getOrDefault("timeout", "1"));
        if (!(timeout > 0)) {
            throw new IllegalArgumentException("--timeout must be greater than 0");
        }
        return new Options(
                given.getOrDefault("target", "127.0.0.1:9000"),
                given.getOrDefault("ca", ""),
                given.getOrDefault("service-config", ""),
                given.getOrDefault("window", ""),
                Math.round(timeout * 1e9),
                given.getOrDefault("symbol", "EXAMPLE-JAVA"));
    }
}
