#!/usr/bin/env bash
# Installs the MCP servers, client and conformance suite that tests run, by npm and in the
# versions of internal/mcptest/package.json, into the user's cache. Prints the folder.
set -eu
here=$(cd "$(dirname "$0")/../mcptest" && pwd)
dir=${XDG_CACHE_HOME:-$HOME/.cache}/helm-ai-kernel/mcptest-$(sha256sum "$here/package.json" | cut -c1-16)
if [ ! -e "$dir/complete" ]; then
  if ! command -v npm >/dev/null 2>&1; then
    echo "MISSING: npm. Tests against real MCP servers are skipped, and say so." >&2
    exit 0
  fi
  echo "installing MCP servers into $dir" >&2
  rm -rf "$dir"
  mkdir -p "$dir"
  cp "$here/package.json" "$dir/"
  (cd "$dir" && npm install --silent --no-audit --no-fund --no-package-lock >&2)
  touch "$dir/complete"
fi
cp "$here"/*.mjs "$dir/"
echo "$dir"
