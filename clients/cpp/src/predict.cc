#include "predict.h"

#include <iomanip>
#include <iostream>
#include <sstream>
#include <thread>

#include "market.h"
#include "refusal.h"

using tickserve::v1::Prediction;
using tickserve::v1::Priority;
using tickserve::v1::Window;

namespace {

// The RPC's own deadline lies this far behind the timeout, so that the service's refusal can still arrive.
constexpr std::chrono::milliseconds kDeadlineMargin{40};
// Most background predictions that the program sends in a row to meet a rate limit.
constexpr int kBurst = 10;

Window RawWindow(const std::vector<float>& values) {
  Window window;
  window.set_feature_count(kFeatures);
  window.set_time_steps(kSteps);
  window.set_raw_float32(RawFloat32(values));
  return window;
}

}  // namespace

Predictor::Predictor(const Connection& connection)
    : connection_(connection), service_(tickserve::v1::PredictionService::NewStub(connection.channel())) {}

Prediction Predictor::Predict(const Window& window, Priority priority) const {
  tickserve::v1::PredictRequest request;
  *request.mutable_window() = window;
  request.set_priority(priority);
  *request.mutable_timeout() = ToDuration(connection_.timeout());
  const auto context = connection_.NewContext(connection_.timeout() + kDeadlineMargin);
  tickserve::v1::PredictResponse response;
  Check(service_->Predict(context.get(), request, &response));
  return response.prediction();
}

void Predictor::PredictBothForms(const std::vector<float>& values) const {
  Window window = RawWindow(values);
  const auto prediction = Predict(window, tickserve::v1::PRIORITY_REAL_TIME);
  std::cout << "predict " << Show(prediction) << std::endl;
  // Takes the place of the bytes: a window has one of the two.
  window.mutable_values()->mutable_values()->Add(values.begin(), values.end());
  const auto same = Predict(window, tickserve::v1::PRIORITY_STANDARD);
  std::cout << "values " << Show(same) << std::endl;
}

void Predictor::BeRefused(const std::vector<float>& values) const {
  Window wrong = RawWindow(values);
  wrong.set_feature_count(kFeatures - 1);
  try {
    Predict(wrong, tickserve::v1::PRIORITY_STANDARD);
  } catch (const RpcError& error) {
    std::cout << error.refusal().Show("refused") << std::endl;
    return;
  }
  throw std::runtime_error("a window of the wrong shape was answered");
}

void Predictor::SendTooMany(const std::vector<float>& values) const {
  const Window window = RawWindow(values);
  for (int sent = 1; sent <= kBurst; ++sent) {
    try {
      Predict(window, tickserve::v1::PRIORITY_BACKGROUND);
    } catch (const RpcError& error) {
      if (!error.refusal().retry_delay) throw;
      std::cout << error.refusal().Show("limited") << std::endl;
      std::this_thread::sleep_for(*error.refusal().retry_delay);
      const auto prediction = Predict(window, tickserve::v1::PRIORITY_BACKGROUND);
      std::cout << "retried " << Show(prediction) << std::endl;
      return;
    }
  }
  std::cout << "unlimited sent=" << kBurst << std::endl;
}

std::string Show(const Prediction& prediction) {
  std::ostringstream line;
  line << std::setprecision(9);
  for (const auto& each : prediction.classes()) line << each.label() << "=" << each.probability() << " ";
  for (const auto& each : prediction.regressions()) {
    line << each.name() << "=" << each.mean() << " " << each.name() << "_deviation=" << each.standard_deviation() << " ";
  }
  const auto& execution = prediction.execution();
  const auto slack = ToNanoseconds(execution.deadline_slack());
  line << "model=" << prediction.model().name() << "/" << prediction.model().version()
       << " input=" << prediction.input().sha256()
       << " priority=" << tickserve::v1::Priority_Name(execution.effective_priority())
       << " slack_ms=" << std::chrono::duration_cast<std::chrono::milliseconds>(slack).count();
  return line.str();
}
