#!/bin/sh
# Makes provider.wasm of provider.c: clang and lld (Debian: apt-get install clang lld), then the component around the module.
set -eu
cd "$(dirname "$0")"
out=${1:-provider.wasm}
module=$(mktemp)
trap 'rm -f "$module"' EXIT
clang --target=wasm32 -std=c11 -nostdlib -ffreestanding -fno-builtin -Os -Wall -Wextra -Werror \
    -Wl,--no-entry -Wl,--strip-all -o "$module" provider.c
cargo run --quiet --manifest-path component/Cargo.toml -- ../../plugin-sdk/wit/provider "$module" "$out"
# What it was made of: a test says when it is older than its source.
cat provider.c berth.h ../../plugin-sdk/wit/provider/provider.wit | sha256sum | cut -c1-64 > "$out.made-of"
