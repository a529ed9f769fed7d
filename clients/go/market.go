package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	tickserve "example.com/tickserve/stubs/tickserve/v1"
)

const (
	features = 50
	steps    = 60
)

// windowValues returns a window's values, feature-major: those of a file, or made up, the same in every language.
func windowValues(file string) ([]float32, error) {
	values := make([]float32, features*steps)
	if file == "" {
		for i := range values {
			values[i] = float32(float64(i*37%201-100) / 50)
		}
		return values, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(raw) != 4*len(values) {
		return nil, fmt.Errorf("%s has %d bytes, not %d", file, len(raw), 4*len(values))
	}
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return values, nil
}

// rawFloat32 returns values as the contract's bytes: little-endian IEEE 754.
func rawFloat32(values []float32) []byte {
	raw := make([]byte, 4*len(values))
	for i, value := range values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(value))
	}
	return raw
}

// bar returns the made-up bar of a number, the same in every language.
func bar(number int, interval time.Duration) *tickserve.Bar {
	price := func(i int) float64 { return 1.1 + float64(i*37%101-50)/10000 }
	open, close := price(number), price(number+1)
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(number) * interval)
	return &tickserve.Bar{
		StartTime:  timestamppb.New(start),
		OpenPrice:  open,
		HighPrice:  math.Max(open, close) + 0.0004,
		LowPrice:   math.Min(open, close) - 0.0004,
		ClosePrice: close,
		Volume:     float64(1000 + number*53%97*10),
	}
}
