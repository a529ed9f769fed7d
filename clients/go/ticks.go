package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	tickserve "example.com/tickserve/stubs/tickserve/v1"
)

// A first window needs 120 bars: with as many less one of history, each tick leads to a prediction.
const (
	historyBars = 119
	tickBars    = 5
)

type tickStream = tickserve.PredictionService_StreamTicksClient

// streamTicks opens a session, sends past bars and new ones, and prints each prediction until the service has said all.
func (c *client) streamTicks(symbol string) error {
	// A session has no deadline of its own; this one is short, and must not outlast the program's patience.
	ctx, cancel := context.WithTimeout(context.Background(), (tickBars+1)*c.timeout)
	defer cancel()
	stream, err := c.prediction.StreamTicks(ctx)
	if err != nil {
		return err
	}
	opened, err := openSession(stream, symbol)
	if err != nil {
		return err
	}
	state := opened.GetSymbols()[0]
	fmt.Printf("opened symbol=%s next_sequence=%d have=%d need=%d\n",
		state.GetSymbol(), state.GetNextSequence(), state.GetHave(), state.GetNeed())

	// Reads and writes go on side by side: a session that only writes is held by flow control sooner or later.
	written := make(chan error, 1)
	go func() {
		written <- c.sendBars(stream, symbol, state.GetNextSequence(), opened.GetBarInterval().AsDuration())
	}()
	if err := printAnswers(stream); err != nil {
		return err
	}
	return <-written
}

func openSession(stream tickStream, symbol string) (*tickserve.StreamOpened, error) {
	open := &tickserve.OpenStream{Symbols: []string{symbol}, Priority: tickserve.Priority_PRIORITY_REAL_TIME}
	err := stream.Send(&tickserve.StreamTicksRequest{Message: &tickserve.StreamTicksRequest_Open{Open: open}})
	if err != nil && err != io.EOF { // EOF: the stream has ended, and Recv says why
		return nil, err
	}
	response, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if failure := response.GetError(); failure != nil {
		return nil, errors.New(tickRefusal(failure).show("open"))
	}
	return response.GetOpened(), nil
}

// sendBars fills the window, sends one bar that is refused and some that are answered, and closes its side.
func (c *client) sendBars(stream tickStream, symbol string, sequence int64, interval time.Duration) error {
	tick := func(event *tickserve.Tick) error {
		event.Symbol, event.Sequence = symbol, sequence
		event.ValidDuration = durationpb.New(c.timeout) // what a prediction is of use for
		return stream.Send(&tickserve.StreamTicksRequest{Message: &tickserve.StreamTicksRequest_Tick{Tick: event}})
	}
	if sequence > 1 { // the service holds a window of an earlier session, whose bars are not ours
		reset := &tickserve.WindowReset{Reason: "the example starts over"}
		if err := tick(&tickserve.Tick{Event: &tickserve.Tick_Reset_{Reset_: reset}}); err != nil {
			return err
		}
		sequence++
	}
	history := &tickserve.BarHistory{Symbol: symbol}
	for number := 0; number < historyBars; number++ {
		history.Bars = append(history.Bars, bar(number, interval))
	}
	err := stream.Send(&tickserve.StreamTicksRequest{Message: &tickserve.StreamTicksRequest_History{History: history}})
	if err != nil {
		return err
	}
	wrong := bar(historyBars, interval)
	wrong.LowPrice = -1 // refused; its number is not used up, and the stream goes on
	if err := tick(&tickserve.Tick{Event: &tickserve.Tick_Bar{Bar: wrong}}); err != nil {
		return err
	}
	for number := historyBars; number < historyBars+tickBars; number++ {
		if err := tick(&tickserve.Tick{Event: &tickserve.Tick_Bar{Bar: bar(number, interval)}}); err != nil {
			return err
		}
		sequence++
	}
	return stream.CloseSend()
}

func printAnswers(stream tickStream) error {
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch message := response.GetMessage().(type) {
		case *tickserve.StreamTicksResponse_Prediction:
			answer := message.Prediction
			fmt.Printf("tick symbol=%s sequence=%d %s\n", answer.GetSymbol(), answer.GetSequence(), show(answer.GetPrediction()))
		case *tickserve.StreamTicksResponse_Error:
			line := fmt.Sprintf("tick_error sequence=%d", message.Error.GetSequence())
			fmt.Println(tickRefusal(message.Error).show(line))
		case *tickserve.StreamTicksResponse_Gap:
			fmt.Printf("gap first=%d last=%d\n", message.Gap.GetFirstMissingSequence(), message.Gap.GetLastMissingSequence())
		case *tickserve.StreamTicksResponse_Drain: // a program that goes on would open its session anew elsewhere
			fmt.Println("drain")
		}
	}
}

func tickRefusal(failure *tickserve.TickError) refusal {
	said := failure.GetError()
	return explain(codes.Code(said.GetCode()), said.GetMessage(), said.GetDetails())
}
