package main

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	tickserve "example.com/tickserve/stubs/tickserve/v1"
)

// predict asks for one prediction, in time for whoever waits for it.
func (c *client) predict(window *tickserve.Window, priority tickserve.Priority) (*tickserve.Prediction, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout+deadlineMargin)
	defer cancel()
	response, err := c.prediction.Predict(ctx, &tickserve.PredictRequest{
		Input:    &tickserve.PredictRequest_Window{Window: window},
		Priority: priority,
		Timeout:  durationpb.New(c.timeout),
	})
	return response.GetPrediction(), err
}

// predictBothForms sends the window as bytes, which is what programs should do, and as numbers.
func (c *client) predictBothForms(values []float32) error {
	prediction, err := c.predict(rawWindow(values), tickserve.Priority_PRIORITY_REAL_TIME)
	if err != nil {
		return err
	}
	fmt.Println("predict", show(prediction))
	prediction, err = c.predict(&tickserve.Window{
		FeatureCount: features,
		TimeSteps:    steps,
		Data:         &tickserve.Window_Values{Values: &tickserve.FloatValues{Values: values}},
	}, tickserve.Priority_PRIORITY_STANDARD)
	if err != nil {
		return err
	}
	fmt.Println("values", show(prediction))
	return nil
}

func rawWindow(values []float32) *tickserve.Window {
	return &tickserve.Window{
		FeatureCount: features,
		TimeSteps:    steps,
		Data:         &tickserve.Window_RawFloat32{RawFloat32: rawFloat32(values)},
	}
}

// show writes a prediction with nine digits: enough to tell every float32 from its neighbours.
func show(prediction *tickserve.Prediction) string {
	var line strings.Builder
	for _, class := range prediction.GetClasses() {
		fmt.Fprintf(&line, "%s=%.9g ", class.GetLabel(), class.GetProbability())
	}
	for _, regression := range prediction.GetRegressions() {
		fmt.Fprintf(&line, "%s=%.9g %s_deviation=%.9g ",
			regression.GetName(), regression.GetMean(), regression.GetName(), regression.GetStandardDeviation())
	}
	execution := prediction.GetExecution()
	fmt.Fprintf(&line, "model=%s/%d input=%s priority=%s slack_ms=%d",
		prediction.GetModel().GetName(), prediction.GetModel().GetVersion(), prediction.GetInput().GetSha256(),
		execution.GetEffectivePriority(), execution.GetDeadlineSlack().AsDuration().Milliseconds())
	return line.String()
}
