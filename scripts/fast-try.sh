#!/usr/bin/env bash
# A namesrv and a three-node broker group on this machine. `scripts/fast-try.sh --help` lists what it does.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if ! command -v node >/dev/null; then
  echo 'fast-try: Node.js is not installed; 20.19 or newer is needed' >&2
  exit 1
fi
main="$root/packages/tools/dist/fast-try/main.js"
# Only `start` looks for changed sources; the other calls are to be quick.
if [ "${1:-}" = start ] || [ ! -f "$main" ]; then node "$root/scripts/bootstrap.mjs"; fi
exec node "$main" "$@"
