#include "market.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "connection.h"

namespace {

constexpr std::int64_t kFirstBar = 1'704'067'200;  // 2024-01-01 00:00 UTC

static_assert(std::numeric_limits<float>::is_iec559 && sizeof(float) == 4);

double Price(int number) { return 1.1 + (number * 37 % 101 - 50) / 10000.0; }

}  // namespace

std::vector<float> WindowValues(const std::string& file) {
  std::vector<float> values(kFeatures * kSteps);
  if (file.empty()) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>((static_cast<int>(i) * 37 % 201 - 100) / 50.0);
    }
    return values;
  }
  const std::string raw = ReadFile(file);
  if (raw.size() != sizeof(float) * values.size()) {
    throw std::runtime_error(file + " has " + std::to_string(raw.size()) + " bytes, not " +
                             std::to_string(sizeof(float) * values.size()));
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t bits = 0;
    for (int byte = 0; byte < 4; ++byte) bits |= std::uint32_t{static_cast<std::uint8_t>(raw[4 * i + byte])} << 8 * byte;
    std::memcpy(&values[i], &bits, sizeof bits);
  }
  return values;
}

std::string RawFloat32(const std::vector<float>& values) {
  std::string raw;
  raw.reserve(sizeof(float) * values.size());
  for (const float value : values) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    for (int byte = 0; byte < 4; ++byte) raw.push_back(static_cast<char>(bits >> 8 * byte & 0xff));
  }
  return raw;
}

tickserve::v1::Bar MakeBar(int number, std::int64_t interval) {
  const double open = Price(number);
  const double close = Price(number + 1);
  tickserve::v1::Bar bar;
  bar.mutable_start_time()->set_seconds(kFirstBar + number * interval);
  bar.set_open_price(open);
  bar.set_high_price(std::max(open, close) + 0.0004);
  bar.set_low_price(std::min(open, close) - 0.0004);
  bar.set_close_price(close);
  bar.set_volume(1000 + number * 53 % 97 * 10);
  return bar;
}
