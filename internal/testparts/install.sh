#!/usr/bin/env bash
# Installs the programs that tests run, where they are missing.
set -u
missing=()
need() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }
need openssl openssl
need ssh-keygen openssh-client
need sha256sum coreutils
need python3 python3
need gcc gcc
need curl curl
need jq jq
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "installing ${missing[*]}"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" libc6-dev && exit 0
fi
echo "MISSING: ${missing[*]}. Install them: tests that need them say so and fail or are skipped." >&2
