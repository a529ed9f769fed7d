#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

// What the program was asked to do; empty text stands for what was not given. The timeout is in seconds.
struct Options {
  std::string target, ca, service_config, window;
  double timeout = 1;
  std::string symbol, api_key;
};

// The one connection of the program, and what every call takes along.
class Connection {
 public:
  // Throws std::runtime_error if a file cannot be read, or the key would leave this machine in the clear.
  explicit Connection(const Options& options);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  std::chrono::nanoseconds timeout() const { return timeout_; }

  // Returns the context of one call that ends by itself after a span.
  std::unique_ptr<grpc::ClientContext> NewContext(std::chrono::nanoseconds span) const;

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::chrono::nanoseconds timeout_;
  std::string api_key_;
};

// Returns the bytes of a file; throws std::runtime_error.
std::string ReadFile(const std::string& path);
