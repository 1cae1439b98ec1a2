#!/usr/bin/env bash
# usage: fuzz/run.sh BUILD_DIR SECONDS [TARGET…]
# Runs each fuzz target for so long, from its corpus; new inputs go to BUILD_DIR/corpus/TARGET and are
# merged into the repository's corpus by hand (fuzz/README.md).
set -euo pipefail
build=$1 seconds=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=($(cd "$build/fuzz" && ls -d fuzz_* | grep -v '\.' | sed 's/^fuzz_//' | sort))
status=0
for t in "${targets[@]}"; do
  [ -x "$build/fuzz/fuzz_$t" ] || continue
  mkdir -p "$build/corpus/$t"
  echo "== $t, $seconds s"
  if ! "$build/fuzz/fuzz_$t" -max_total_time="$seconds" -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$build/corpus/$t-" "$build/corpus/$t" "$here/corpus/$t" >"$build/corpus/$t.log" 2>&1; then
    echo "FAILED, see $build/corpus/$t.log"; tail -n 30 "$build/corpus/$t.log"; status=1
  fi
  grep -E 'stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)' "$build/corpus/$t.log" || true
done
exit $status
