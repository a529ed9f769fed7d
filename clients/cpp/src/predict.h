#pragma once

#include <memory>
#include <string>
#include <vector>

#include "connection.h"
#include "tickserve/v1/prediction_service.grpc.pb.h"

// Asks for predictions of single windows, one after the other; throws RpcError where a call fails unexpectedly.
class Predictor {
 public:
  explicit Predictor(const Connection& connection);

  // Sends the window as bytes, which is what programs should do, and as numbers.
  void PredictBothForms(const std::vector<float>& values) const;
  // Sends a window of the wrong shape, on purpose.
  void BeRefused(const std::vector<float>& values) const;
  // Sends until a rate limit, if the service has one, says when to come back; and comes back then.
  void SendTooMany(const std::vector<float>& values) const;

 private:
  tickserve::v1::Prediction Predict(const tickserve::v1::Window& window, tickserve::v1::Priority priority) const;

  const Connection& connection_;
  std::unique_ptr<tickserve::v1::PredictionService::Stub> service_;
};

// Writes a prediction with nine digits: enough to tell every float from its neighbours.
std::string Show(const tickserve::v1::Prediction& prediction);
