// For current Go: `go mod tidy` once, then `go build`. Not used with Debian's packages (README.md).
module example.com/tickserve/client

go 1.21

require (
	example.com/tickserve/stubs v0.0.0
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240604185151-ef581f913117
	google.golang.org/grpc v1.65.0
	google.golang.org/protobuf v1.34.2
)

// Written by `make stubs`.
replace example.com/tickserve/stubs => ../../build/stubs/go/example.com/tickserve/stubs
