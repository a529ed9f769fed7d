#include "connection.h"

#include <fstream>
#include <iterator>
#include <regex>
#include <stdexcept>

namespace {

bool IsLocal(const std::string& target) {
  static const std::regex local(R"((localhost|\[::1\]|127(\.\d{1,3}){3})(:\d+)?)");
  return std::regex_match(target, local);
}

}  // namespace

Connection::Connection(const Options& options)
    : timeout_(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(options.timeout))),
      api_key_(options.api_key) {
  if (!api_key_.empty() && options.ca.empty() && !IsLocal(options.target)) {
    throw std::runtime_error("the API key would cross the network to " + options.target +
                             " as plain text; name an authority with --ca");
  }
  grpc::ChannelArguments arguments;
  // While a call is open a peer that has vanished is noticed within 40 s; see docs/retries.md.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  if (!options.service_config.empty()) arguments.SetServiceConfigJSON(ReadFile(options.service_config));
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!options.ca.empty()) {
    grpc::SslCredentialsOptions trusted;
    trusted.pem_root_certs = ReadFile(options.ca);
    credentials = grpc::SslCredentials(trusted);
  }
  channel_ = grpc::CreateCustomChannel(options.target, credentials, arguments);
}

std::unique_ptr<grpc::ClientContext> Connection::NewContext(std::chrono::nanoseconds span) const {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + span);
  if (!api_key_.empty()) context->AddMetadata("authorization", "Bearer " + api_key_);
  return context;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw std::runtime_error("cannot read " + path);
  return bytes;
}
