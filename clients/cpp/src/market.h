#pragma once

#include <string>
#include <vector>

#include "tickserve/v1/tick.pb.h"

constexpr int kFeatures = 50;
constexpr int kSteps = 60;

// Returns a window's values, feature-major: those of a file, or made up where its name is empty, the same in every
// language. Throws std::runtime_error.
std::vector<float> WindowValues(const std::string& file);

// Returns values as the contract's bytes: little-endian IEEE 754.
std::string RawFloat32(const std::vector<float>& values);

// Returns the made-up bar of a number, the same in every language; the interval is in seconds.
tickserve::v1::Bar MakeBar(int number, std::int64_t interval);
