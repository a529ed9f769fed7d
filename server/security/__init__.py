"""Who may call, how often, and whether anybody is answered: decisions and their stores, free of gRPC and protobuf."""
