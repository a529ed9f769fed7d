#include "refusal.h"

#include <cstdint>
#include <iomanip>
#include <map>
#include <sstream>

Refusal Refusal::Of(const google::rpc::Status& said) {
  Refusal found;
  found.code = said.code();
  found.message = said.message();
  google::rpc::RetryInfo retry;
  google::rpc::BadRequest bad;
  for (const auto& detail : said.details()) {
    if (detail.UnpackTo(&found.info)) continue;
    if (detail.UnpackTo(&retry)) found.retry_delay = ToNanoseconds(retry.retry_delay());
    if (detail.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) found.fields.push_back(violation.field());
    }
  }
  return found;
}

Refusal Refusal::Of(const grpc::Status& status) {
  google::rpc::Status said;
  // The whole status comes as bytes; an error that gRPC has made itself has none.
  if (status.error_details().empty() || !said.ParseFromString(status.error_details())) {
    said.set_code(status.error_code());
    said.set_message(status.error_message());
  }
  return Of(said);
}

std::string Refusal::Show(const std::string& name) const {
  std::ostringstream line;
  line << name << " code=" << code << " reason=" << info.reason() << " domain=" << info.domain();
  const char* separator = " fields=";
  for (const auto& field : fields) {
    line << separator << field;
    separator = ",";
  }
  if (retry_delay) line << " retry_ms=" << std::chrono::duration_cast<std::chrono::milliseconds>(*retry_delay).count();
  const std::map<std::string, std::string> sorted(info.metadata().begin(), info.metadata().end());
  for (const auto& [key, value] : sorted) line << " metadata." << key << "=" << value;
  line << " message=" << std::quoted(message);
  return line.str();
}

void Check(const grpc::Status& status) {
  if (!status.ok()) throw RpcError(Refusal::Of(status));
}

google::protobuf::Duration ToDuration(std::chrono::nanoseconds span) {
  google::protobuf::Duration duration;
  duration.set_seconds(span.count() / 1'000'000'000);
  duration.set_nanos(static_cast<std::int32_t>(span.count() % 1'000'000'000));
  return duration;
}

std::chrono::nanoseconds ToNanoseconds(const google::protobuf::Duration& span) {
  return std::chrono::seconds(span.seconds()) + std::chrono::nanoseconds(span.nanos());
}
