// Asks tickserve for predictions: a health check, Predict with a deadline and a priority, refusals and what they say,
// and a tick session. Prints one line of `name key=value ...` for each thing that it learns.
#include <cstdlib>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

#include "connection.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "market.h"
#include "predict.h"
#include "refusal.h"
#include "ticks.h"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

constexpr char kUsage[] = R"(usage: client [options]
  --target=HOST:PORT       the service (127.0.0.1:9000)
  --ca=FILE                PEM file of the authority to trust: connect over TLS
  --service-config=FILE    a gRPC service config: clients/service_config.json
  --window=FILE            50 x 60 little-endian float32 (default: a made-up window)
  --timeout=SECONDS        what the service holds itself to for one answer (1)
  --symbol=NAME            symbol of the tick session (EXAMPLE-CPP)
An API key is taken from TICKSERVE_API_KEY.)";

Options ParseOptions(int count, char** arguments) {
  std::map<std::string, std::string> given{{"target", "127.0.0.1:9000"}, {"ca", ""},        {"service-config", ""},
                                           {"window", ""},               {"timeout", "1"}, {"symbol", "EXAMPLE-CPP"}};
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const auto equals = argument.find('=');
    const bool named = argument.rfind("--", 0) == 0 && equals != std::string::npos;
    const auto found = named ? given.find(argument.substr(2, equals - 2)) : given.end();
    if (found == given.end()) throw std::invalid_argument("unknown argument: " + argument);
    found->second = argument.substr(equals + 1);
  }
  const double timeout = std::stod(given["timeout"]);
  if (!(timeout > 0)) throw std::invalid_argument("--timeout must be greater than 0");
  const char* key = std::getenv("TICKSERVE_API_KEY");
  return {given["target"], given["ca"],     given["service-config"], given["window"],
          timeout,         given["symbol"], key == nullptr ? "" : key};
}

void CheckHealth(const Connection& connection) {
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("tickserve.v1.PredictionService");
  grpc::health::v1::HealthCheckResponse answer;
  const auto context = connection.NewContext(connection.timeout());
  const auto health = grpc::health::v1::Health::NewStub(connection.channel());
  Check(health->Check(context.get(), request, &answer));
  std::cout << "health status=" << answer.ServingStatus_Name(answer.status()) << std::endl;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  std::unique_ptr<Connection> connection;
  try {
    options = ParseOptions(count, arguments);
    connection = std::make_unique<Connection>(options);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n" << kUsage << std::endl;
    return kExitUsage;
  }
  try {
    const auto values = WindowValues(options.window);
    CheckHealth(*connection);
    const Predictor predictor(*connection);
    predictor.PredictBothForms(values);
    predictor.BeRefused(values);
    predictor.SendTooMany(values);
    StreamTicks(*connection, options.symbol);
  } catch (const RpcError& error) {
    std::cerr << error.refusal().Show("failed") << std::endl;
    return kExitFailed;
  } catch (const std::exception& error) {
    std::cerr << "failed message=\"" << error.what() << "\"" << std::endl;
    return kExitFailed;
  }
}
