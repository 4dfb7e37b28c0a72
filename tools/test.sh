#!/usr/bin/env bash
# The README's test command: every package once with the race detector, then what runs real processes.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.tools/bin:$PATH"
export SUPERCLUSTER_BINARY="$PWD/bin/supercluster"
go test -race -p 2 -timeout 600s ./...
