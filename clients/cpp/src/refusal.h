#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

// What an error of the service says of itself.
struct Refusal {
  int code = 0;
  std::string message;
  google::rpc::ErrorInfo info;
  std::optional<std::chrono::nanoseconds> retry_delay;
  std::vector<std::string> fields;

  // Reads the details of a status: of an RPC, or of one tick in a stream.
  static Refusal Of(const google::rpc::Status& said);
  static Refusal Of(const grpc::Status& status);

  std::string Show(const std::string& name) const;
};

class RpcError : public std::runtime_error {
 public:
  explicit RpcError(Refusal refusal) : std::runtime_error(refusal.message), refusal_(std::move(refusal)) {}

  const Refusal& refusal() const { return refusal_; }

 private:
  Refusal refusal_;
};

// Throws RpcError unless the status is OK.
void Check(const grpc::Status& status);

google::protobuf::Duration ToDuration(std::chrono::nanoseconds span);
std::chrono::nanoseconds ToNanoseconds(const google::protobuf::Duration& span);
