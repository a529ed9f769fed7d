package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// connect makes the one connection of the program; plain text unless `ca` names an authority.
func connect(target, ca, serviceConfig, apiKey string) (*grpc.ClientConn, error) {
	// While a call is open a peer that has vanished is noticed within 40 s; see docs/retries.md.
	options := []grpc.DialOption{grpc.WithKeepaliveParams(keepalive.ClientParameters{
		Time: 30 * time.Second, Timeout: 10 * time.Second})}
	if ca == "" {
		if apiKey != "" && !isLocal(target) {
			return nil, fmt.Errorf("the API key would cross the network to %s as plain text; name an authority with -ca", target)
		}
		options = append(options, grpc.WithInsecure())
	} else {
		trusted, err := credentials.NewClientTLSFromFile(ca, "")
		if err != nil {
			return nil, err
		}
		options = append(options, grpc.WithTransportCredentials(trusted))
	}
	if serviceConfig != "" {
		config, err := os.ReadFile(serviceConfig)
		if err != nil {
			return nil, err
		}
		options = append(options, grpc.WithDefaultServiceConfig(string(config)))
	}
	if apiKey != "" {
		options = append(options, grpc.WithPerRPCCredentials(key{apiKey, ca != ""}))
	}
	return grpc.Dial(target, options...)
}

// key shows the caller's API key with each call.
type key struct {
	secret    string
	encrypted bool
}

func (k key) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + k.secret}, nil
}

func (k key) RequireTransportSecurity() bool { return k.encrypted }

func isLocal(target string) bool {
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		host = target
	}
	address := net.ParseIP(host)
	return host == "localhost" || (address != nil && address.IsLoopback())
}
