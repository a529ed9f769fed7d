package main

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	tickserve "example.com/tickserve/stubs/tickserve/v1"
)

// Most background predictions that the program sends in a row to meet a rate limit.
const burst = 10

// refusal is what an error of the service says of itself.
type refusal struct {
	code       codes.Code
	message    string
	info       *errdetails.ErrorInfo
	retryDelay time.Duration // zero: none was given
	fields     []string
}

// detail is a google.protobuf.Any, whichever Go package it comes from.
type detail interface {
	GetTypeUrl() string
	GetValue() []byte
}

// explain reads the details of a status: of an RPC, or of one tick in a stream.
func explain[D detail](code codes.Code, message string, details []D) refusal {
	found := refusal{code: code, message: message, info: &errdetails.ErrorInfo{}}
	for _, each := range details {
		switch strings.TrimPrefix(each.GetTypeUrl(), "type.googleapis.com/") {
		case "google.rpc.ErrorInfo":
			_ = proto.Unmarshal(each.GetValue(), found.info)
		case "google.rpc.RetryInfo":
			var retry errdetails.RetryInfo
			if proto.Unmarshal(each.GetValue(), &retry) == nil {
				found.retryDelay = retry.GetRetryDelay().AsDuration()
			}
		case "google.rpc.BadRequest":
			var bad errdetails.BadRequest
			_ = proto.Unmarshal(each.GetValue(), &bad)
			for _, violation := range bad.GetFieldViolations() {
				found.fields = append(found.fields, violation.GetField())
			}
		}
	}
	return found
}

func refusalOf(err error) refusal {
	said := status.Convert(err)
	return explain(said.Code(), said.Message(), said.Proto().GetDetails())
}

func describe(name string, err error) string {
	return refusalOf(err).show(name)
}

func (r refusal) show(name string) string {
	line := fmt.Sprintf("%s code=%d reason=%s domain=%s", name, r.code, r.info.GetReason(), r.info.GetDomain())
	if len(r.fields) > 0 {
		line += " fields=" + strings.Join(r.fields, ",")
	}
	if r.retryDelay > 0 {
		line += fmt.Sprintf(" retry_ms=%d", r.retryDelay.Milliseconds())
	}
	for _, name := range sortedKeys(r.info.GetMetadata()) {
		line += fmt.Sprintf(" metadata.%s=%s", name, r.info.GetMetadata()[name])
	}
	return fmt.Sprintf("%s message=%q", line, r.message)
}

// beRefused sends a window of the wrong shape, on purpose.
func (c *client) beRefused(values []float32) error {
	window := rawWindow(values)
	window.FeatureCount--
	_, err := c.predict(window, tickserve.Priority_PRIORITY_STANDARD)
	if err == nil {
		return errors.New("a window of the wrong shape was answered")
	}
	fmt.Println(describe("refused", err))
	return nil
}

// sendTooMany sends until a rate limit, if the service has one, says when to come back; and comes back then.
func (c *client) sendTooMany(values []float32) error {
	for sent := 1; sent <= burst; sent++ {
		_, err := c.predict(rawWindow(values), tickserve.Priority_PRIORITY_BACKGROUND)
		if err == nil {
			continue
		}
		refused := refusalOf(err)
		if refused.retryDelay == 0 {
			return err
		}
		fmt.Println(refused.show("limited"))
		time.Sleep(refused.retryDelay)
		prediction, err := c.predict(rawWindow(values), tickserve.Priority_PRIORITY_BACKGROUND)
		if err != nil {
			return err
		}
		fmt.Println("retried", show(prediction))
		return nil
	}
	fmt.Printf("unlimited sent=%d\n", burst)
	return nil
}

func sortedKeys(metadata map[string]string) []string {
	keys := make([]string, 0, len(metadata))
	for key := range metadata {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
