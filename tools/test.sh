#!/usr/bin/env bash
# The README's test command: every package once with the race detector, then what runs real processes.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.tools/bin:$PATH"
export SUPERCLUSTER_BINARY="$PWD/bin/supercluster"
# What the next release may send is known to a build that plays it.
go build -tags fednext -o bin/supercluster-next ./cmd/supercluster
export NEXT_SUPERCLUSTER="$PWD/bin/supercluster-next"
# A package that passes shows nobody why one of its tests did not run; testlines does.
go build -o .tools/testlines ./internal/testlines
go test -json -race -p 2 -timeout 600s ./... | .tools/testlines
# Scripts of commands start the program hundreds of times, which the race detector makes ten times as long.
go test -count=1 -timeout 600s -run 'TestScripts' ./cmd/supercluster
# The protocol between regions has no concurrency of its own: all its seeds without the race detector, which takes ten times as long.
go test -count=1 -timeout 600s -run Property ./federation/feed
# The benchmarks are a module of their own.
(cd bench && go test -race -count=1 ./unary ./gate)
