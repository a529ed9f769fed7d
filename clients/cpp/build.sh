#!/bin/sh
# Builds the program with CMake; what it needs is found where the system keeps it.
set -eu
cd "$(dirname "$0")"
tree=../../build/clients/cpp
# Unoptimised: it waits for the network, and the generated code compiles in a third of the time.
cmake -S . -B "$tree" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 >"$tree.log" 2>&1 || { cat "$tree.log" >&2; exit 1; }
cmake --build "$tree" --parallel 2 >"$tree.log" 2>&1 || { cat "$tree.log" >&2; exit 1; }
