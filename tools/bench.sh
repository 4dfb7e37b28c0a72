#!/usr/bin/env bash
# Builds the peers from their Go modules into .tools/bench and runs one benchmark, or with `gate` a short form of all, which fails on
# a wrong count or a lost order. Its figures go beside the others, never over them.
set -euo pipefail
cd "$(dirname "$0")/.."
name=${1:?"which benchmark: write, read, xds, envoy, start, federation or gate"}
shift
mkdir -p .tools/bench
(cd bench && go build -o ../.tools/bench/ ./peer/... ./run)
if [ "$name" = gate ]; then
  exec .tools/bench/run -quick -gate -out bench/out/gate "$@" write read xds envoy start federation
fi
exec .tools/bench/run "$@" "$name"
