#pragma once

#include <string>

#include "connection.h"

// Opens a tick session, sends past bars and new ones, and prints each prediction until the service has said all.
// Throws RpcError.
void StreamTicks(const Connection& connection, const std::string& symbol);
