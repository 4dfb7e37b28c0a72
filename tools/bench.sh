#!/usr/bin/env bash
# Builds the peers from their Go modules into .tools/bench and runs one benchmark.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:?"which benchmark: write, read, xds, envoy, start or federation"}
shift
mkdir -p .tools/bench
(cd bench && go build -o ../.tools/bench/ ./peer/... ./run)
exec .tools/bench/run "$@" "$name"
