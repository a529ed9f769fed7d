// Command client asks tickserve for predictions: a health check, Predict with a deadline and a priority, refusals and
// what they say, and a tick session. It prints one line of `name key=value ...` for each thing that it learns.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	tickserve "example.com/tickserve/stubs/tickserve/v1"
)

const (
	exitFailed = 1
	exitUsage  = 2
	// The RPC's own deadline lies this far behind `timeout`, so that the service's refusal can still arrive.
	deadlineMargin = 40 * time.Millisecond
)

// client is what every step needs.
type client struct {
	connection *grpc.ClientConn
	prediction tickserve.PredictionServiceClient
	timeout    time.Duration
}

func main() {
	target := flag.String("target", "127.0.0.1:9000", "host and port of the service")
	ca := flag.String("ca", "", "PEM file of the authority to trust: connect over TLS")
	serviceConfig := flag.String("service-config", "", "file with a gRPC service config: clients/service_config.json")
	windowFile := flag.String("window", "", "file of 50 x 60 little-endian float32; default: a made-up window")
	seconds := flag.Float64("timeout", 1, "seconds that the service holds itself to for one answer")
	symbol := flag.String("symbol", "EXAMPLE-GO", "symbol of the tick session")
	flag.Parse()
	timeout := time.Duration(*seconds * float64(time.Second))
	if flag.NArg() > 0 || timeout <= 0 {
		flag.Usage()
		os.Exit(exitUsage)
	}

	connection, err := connect(*target, *ca, *serviceConfig, os.Getenv("TICKSERVE_API_KEY"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitUsage)
	}
	defer connection.Close()
	c := &client{connection, tickserve.NewPredictionServiceClient(connection), timeout}
	if err := c.run(*windowFile, *symbol); err != nil {
		fmt.Fprintln(os.Stderr, describe("failed", err))
		connection.Close()
		os.Exit(exitFailed)
	}
}

func (c *client) run(windowFile, symbol string) error {
	values, err := windowValues(windowFile)
	if err != nil {
		return err
	}
	if err := c.checkHealth(); err != nil {
		return err
	}
	if err := c.predictBothForms(values); err != nil {
		return err
	}
	if err := c.beRefused(values); err != nil {
		return err
	}
	if err := c.sendTooMany(values); err != nil {
		return err
	}
	return c.streamTicks(symbol)
}

func (c *client) checkHealth() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
	defer cancel()
	answer, err := grpc_health_v1.NewHealthClient(c.connection).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{Service: "tickserve.v1.PredictionService"})
	if err != nil {
		return err
	}
	fmt.Printf("health status=%s\n", answer.GetStatus())
	return nil
}
