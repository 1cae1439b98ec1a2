#!/usr/bin/env bash
# Shows what pith does with a real model: packs it, checks it, gets it back, reads a few rows of one
# tensor, and prints gzip and zstd beside it.
#
#   tests/demo.sh PITH DATA_DIR WORK_DIR
set -euo pipefail

if [ $# -ne 3 ]; then
  echo "usage: tests/demo.sh PITH DATA_DIR WORK_DIR" >&2
  exit 2
fi
pith=$(realpath "$1")
model=$(realpath --relative-to=. "$2")/model.safetensors
mkdir -p "$3"
work=$(realpath --relative-to=. "$3")
shown_pith=$(realpath --relative-to=. "$pith")
case $shown_pith in /* | ../*) ;; *) shown_pith=./$shown_pith ;; esac
rm -f "$work"/model.* "$work"/rows.* "$work"/unpacked
archive=$work/model.pith
tensor=model.embed_tokens.weight

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n%s\n' "$*"; }
show() {  # runs a command after printing it
  echo "$ pith $*"
  "$pith" "$@" 2>&1
}
bytes() { stat -c %s "$1"; }
now() { date +%s%N; }

# measure COMMAND…: nanoseconds into $took, best of three for what is quick
measure() {
  local best=0 start spent
  for _ in 1 2 3; do
    start=$(now)
    "$@"
    spent=$(($(now) - start))
    if [ $best -eq 0 ] || [ $spent -lt $best ]; then best=$spent; fi
    if [ $spent -gt 500000000 ]; then break; fi
  done
  took=$best
}

raw=$(bytes "$model")

say "1. Pack the reference model ($((raw / 1000)) kB of bf16 weights)"
show compress "$model" -o "$archive" -f

say "2. Check every byte of the archive"
show verify "$archive"

say "3. Get it back, bit for bit"
show decompress "$archive" -o "$work/unpacked" -f
if cmp "$model" "$work/unpacked"; then
  echo "identical: cmp finds no difference"
else
  echo "the demo failed: what came back is not the model" >&2
  exit 1
fi

say "4. Read three rows of one tensor without unpacking the rest"
show decompress "$archive" --tensor $tensor --rows 100:103 -o "$work/rows.npy" -f
"$pith" decompress "$archive" --tensor $tensor --rows 100:103 -o "$work/rows.bin" -f
python3 - "$model" "$tensor" "$work/rows.bin" "$work/rows.npy" <<'PY'
import json, struct, sys
model, name, rows, npy = sys.argv[1:]
with open(model, "rb") as f:
    n = struct.unpack("<Q", f.read(8))[0]
    entry = json.loads(f.read(n))[name]
    width = 2 * entry["shape"][1]
    f.seek(8 + n + entry["data_offsets"][0] + 100 * width)
    expected = f.read(3 * width)
got = open(rows, "rb").read()
if got != expected:
    sys.exit("the demo failed: the rows differ from the model's")
if not open(npy, "rb").read().endswith(expected):
    sys.exit("the demo failed: the .npy file differs")
for row in range(3):
    halves = struct.unpack_from("<5H", got, row * width)
    values = [struct.unpack("<f", struct.pack("<I", h << 16))[0] for h in halves]
    print(f"row {100 + row}: " + " ".join(f"{v:9.5f}" for v in values) + "  …")
print(f"{len(got)} bytes, the same as in the model")
PY

say "5. Beside gzip and zstd (command line, this machine, $(nproc) cores)"
row() {  # name, compressed file, ns to compress, ns to decompress
  awk -v n="$1" -v raw="$raw" -v size="$(bytes "$2")" -v c="$3" -v d="$4" 'BEGIN {
    printf "%-16s %12d %8.3f %8.1f%% %11.0f %12.0f\n", n, size, raw / size, 100 * (1 - size / raw),
      raw / c * 1000, raw / d * 1000 }'
}
printf '%-16s %12s %8s %9s %11s %12s\n' "" bytes ratio saved "pack MB/s" "unpack MB/s"
printf '%-16s %12d %8s %9s\n' "model itself" "$raw" 1.000 0.0%

pack() { "$pith" compress "$model" -o "$work/model.$level.pith" --level "$level" -q -f; }
unpack() { "$pith" decompress "$work/model.$level.pith" -o "$work/unpacked" -q -f; }
pack_other() { "$@" <"$model" >"$work/model.other"; }
unpack_other() { "$@" <"$work/model.other" >"$work/unpacked"; }

for level in fast default; do
  measure pack; packing=$took
  measure unpack
  row "pith $level" "$work/model.$level.pith" "$packing" "$took"
done
compare() {  # name, unpacking command, packing command…
  local name=$1 back=$2
  shift 2
  command -v "$1" >/dev/null || { echo "$name: not installed, left out"; return; }
  measure pack_other "$@"; packing=$took
  measure unpack_other "$back" -dc
  cmp -s "$model" "$work/unpacked" || { echo "$name: did not come back whole"; return; }
  row "$name" "$work/model.other" "$packing" "$took"
}
compare "gzip -6" gzip gzip -6
compare "zstd -3" zstd zstd -3 -q
compare "zstd -19 -T0" zstd zstd -19 -T0 -q

say "6. Compress it into forms that compute, and run it from that file"
folder=$(dirname "$model")
files=("$folder/config.json" "$model" "$folder/tokenizer.model")
lossless=$work/lossless.pith small=$work/small.pith
show compress "${files[@]}" --form 'dense(bf16) > exponent' -o "$lossless" -f
show compress "${files[@]}" --form 'uniform(4, group=32)' -o "$small" -f
said=$("$pith" run "$folder" "The house" -n 40 --temperature 0 -q)
if [ "$("$pith" run "$lossless" "The house" -n 40 --temperature 0 -q)" != "$said" ]; then
  echo "the demo failed: the lossless form says something else than the model" >&2
  exit 1
fi
echo "the lossless form says word for word what the model says; it takes" \
  "$(awk -v a="$(bytes "$lossless")" -v b="$raw" 'BEGIN { printf "%.0f%%", 100 * a / b }') of its bytes"
show run "$small" "The house" -n 60 --seed 7 --timing

say "7. The same in 4 bits a weight, all counted, fitted to lose as little as that allows"
text=$work/unseen.txt fitted=$work/fitted.pith plain=$work/plain.pith
mkdir -p "$work/model" && cp "${files[@]}" "$work/model"
head -c 60000 "$(dirname "$0")/../docs/command.md" >"$text"
show compress "$work/model" --bits 4 -o "$fitted" -f
"$pith" compress "$work/model" --form 'uniform(3, group=16)' -o "$plain" -f -q
for file in "$fitted" "$plain"; do
  printf '%s: %s bytes, on a text that no fit has seen: ' "$(basename "$file")" "$(bytes "$file")"
  "$pith" eval "$file" --against "$work/model" --text "$text" -q | grep '^KL divergence, nats'
done
show run "$fitted" "The house" -n 60 --seed 7

rm -f "$work"/model.other "$work"/model.fast.pith "$work"/model.default.pith "$work/unpacked" "$work/rows.bin"
say "The archive is $archive. Next:"
printf '%s\n' "  $shown_pith inspect $archive --tensors"
