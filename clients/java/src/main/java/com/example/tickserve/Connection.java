package com.example.tickserve;

import com.google.gson.Gson;
import com.google.gson.JsonSyntaxException;
import com.google.gson.reflect.TypeToken;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Makes the one connection of the program. */
final class Connection {
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

    private Connection() {}

    /** Opens a channel; plain text unless the options name an authority. The key may be null or empty for none. */
    static ManagedChannel open(Options options, String apiKey) throws IOException {
        boolean hasKey = apiKey != null && !apiKey.isEmpty();
        if (hasKey && options.ca().isEmpty() && !isLocal(options.target())) {
            throw new IllegalArgumentException("the API key would cross the network to " + options.target()
                    + " as plain text; name an authority with --ca");
        }
        ChannelCredentials credentials = options.ca().isEmpty()
                ? InsecureChannelCredentials.create()
                : TlsChannelCredentials.newBuilder().trustManager(new File(options.ca())).build();
        ManagedChannelBuilder<?> builder = Grpc.newChannelBuilder(options.target(), credentials)
                // While a call is open a peer that has vanished is noticed within 40 s; see docs/retries.md.
                .keepAliveTime(30, TimeUnit.SECONDS)
                .keepAliveTimeout(10, TimeUnit.SECONDS);
        if (!options.serviceConfig().isEmpty()) {
            builder.defaultServiceConfig(readJson(Path.of(options.serviceConfig()))).enableRetry();
        }
        if (hasKey) {
            Metadata metadata = new Metadata();
            metadata.put(AUTHORIZATION, "Bearer " + apiKey);
            builder.intercept(MetadataUtils.newAttachHeadersInterceptor(metadata));
        }
        return builder.build();
    }

    private static Map<String, ?> readJson(Path file) throws IOException {
        try {
            return new Gson().fromJson(Files.readString(file), new TypeToken<Map<String, Object>>() {}.getType());
        } catch (JsonSyntaxException error) {
            throw new IllegalArgumentException(file + " is no JSON: " + error.getMessage(), error);
        }
    }

    private static boolean isLocal(String target) {
        String host = target.replaceFirst(":\\d+$", "");
        return host.equals("localhost") || host.equals("[::1]") || host.matches("127(\\.\\d{1,3}){3}");
    }
}
