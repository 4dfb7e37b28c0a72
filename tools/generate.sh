#!/usr/bin/env bash
# Generates api/gen from api/proto, offline once the modules are downloaded.
# With a folder as argument the result goes there instead, for `make generate-check`.
#
# Third-party .proto files come from Go modules, so nothing is vendored. buf accepts only modules inside its
# workspace, so they are copied with ours into a scratch workspace that git ignores.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-api/gen}
scratch=.generate
rm -rf "$scratch"
mkdir -p "$scratch/own" "$scratch/third/google/api" "$scratch/out"
trap 'rm -rf "$scratch"' EXIT

dir_of() { (cd tools && go mod download "$1" && go list -m -f '{{.Dir}}' "$1"); }
validate=$(dir_of github.com/bufbuild/protovalidate)
googleapis=$(dir_of github.com/gogo/googleapis)
cp -r "$validate/proto/protovalidate/buf" "$scratch/third/"
cp "$googleapis"/google/api/{annotations,http}.proto "$scratch/third/google/api/"
cp -r api/proto/. "$scratch/own/"
chmod -R u+w "$scratch"
cp tools/buf.yaml "$scratch/buf.yaml"

buf() { go tool -modfile=tools/go.mod buf "$@"; }
(cd "$scratch" && go tool -modfile=../tools/go.mod buf lint own)
buf generate "$scratch/own" --template tools/buf.gen.yaml --output "$scratch/out"

rm -rf "$out"
mkdir -p "$out"
cp -r "$scratch"/out/supercluster/api/gen/. "$out/"

# The description of the HTTP API shows errors as this API sends them, not as the generator assumes.
awk '
  /^        [A-Za-z]/ { skip = 0 }
  /^        (Status|GoogleProtobufAny):$/ { skip = 1 }
  /^        Status:$/ { while ((getline line < "tools/openapi-error.yaml") > 0) print line }
  !skip { sub("schemas/Status\047", "schemas/Error\047"); print }
' "$scratch/out/openapi.yaml" > "$out/openapi.yaml"
cp tools/openapi.go.txt "$out/openapi.go"
