#!/usr/bin/env bash
# Drover in three minutes: four nodes on this machine, real programs submitted at one of them; they spread, move while they run, and their
# output is then compared byte for byte with that of the same programs run plainly. Exits 0 only if all are equal and at least two moved.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=install-packages.sh
. "$root/examples/install-packages.sh"
# shellcheck disable=SC2154 # from there
install_packages "${quickstart_packages[@]}"
build_release "$root"

PATH=$root/build/release/bin:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/drover-quickstart-XXXXXX")
export DROVER_INSTANCE=quickstart-$$ DROVER_STATE_DIR=$work/state LC_ALL=C
cleanup() {
  drover down --kill-jobs >/dev/null 2>&1 || true
  if [ "${keep:-}" ]; then echo "Kept for inspection: $work"; else rm -rf "$work"; fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM
begin=$SECONDS
mkdir "$work/drover" "$work/plain"
cd "$work"

say() { printf '\n== %s\n' "$*"; }

say "Making the input: headers and documents of this machine"
# Never less than asked for, on machines with few documents too: the same text again.
make_input() { # FILE MIB SOURCE...
  local file=$1 bytes=$(($2 * 1024 * 1024)) once
  shift 2
  once=$(mktemp -p .)
  { find "$@" -type f -size -2000k -print0 2>/dev/null | sort -z | xargs -0 cat 2>/dev/null | tr -d '\000' | head -c "$bytes" || true; } > "$once"
  while [ "$(stat -c %s "$file" 2>/dev/null || echo 0)" -lt "$bytes" ]; do cat "$once" >> "$file"; done
  truncate -s "$bytes" "$file"
  rm "$once"
}
make_input headers 16 /usr/include
make_input text 80 /usr/share
cat > primes.py <<'PY'
n, sieve = 60_000_000, bytearray([1]) * 60_000_001
for i in range(2, int(n ** 0.5) + 1):
    if sieve[i]:
        for j in range(i * i, n + 1, i):
            sieve[j] = 0
print(sum(sieve) - 2)
PY
cat > hash.py <<'PY'
import hashlib
digest = b"drover"
for i in range(24_000_000):
    digest = hashlib.sha256(digest).digest()
    if i % 4_000_000 == 0:
        print(i, digest.hex(), flush=True)
print(digest.hex())
PY
cat > words.pl <<'PL'
my %seen;
for my $round (1 .. 2) {
  open my $in, '<', 'text' or die;
  while (<$in>) { $seen{lc $_}++ for /\w+/g }
}
print "$_ $seen{$_}\n" for sort { $seen{$b} <=> $seen{$a} || $a cmp $b } keys %seen;
PL

# name|input|command: ordinary programs of a Debian machine, each some seconds long.
jobs=(
  "xz|headers|xz -9e -T1 -c"
  "xz-text|text|xz -1 -T1 -c"
  "gzip|text|gzip -9 -n -c"
  "bzip2|text|bzip2 -9 -c"
  "sort|text|sort --parallel=1"
  "sha512|/dev/null|sha512sum text text text text text text text text text text text text text text text text headers"
  "python-hash|/dev/null|python3 hash.py"
  "python-primes|/dev/null|python3 primes.py"
  "perl-words|/dev/null|perl words.pl"
  "awk-count|text|awk '{ for (i = 1; i <= NF; i++) n[\$i]++ } END { for (w in n) { k++; s += n[w] * length(w) } print k, s }'"
)

say "Starting four nodes on this machine"
# Four nodes share its processors, so each would take one job at a time, and nothing would have to be balanced.
printf '[balance]\njobs_per_pu = 100\n' > drover.toml
export DROVER_CONFIG=$PWD/drover.toml
drover up -n 4
drover nodes

say "Submitting ${#jobs[@]} jobs, all at node0"
ids=()
for job in "${jobs[@]}"; do
  IFS='|' read -r name input command <<< "$job"
  eval "words=($command)"
  ids+=("$(drover --at node0 submit --name "$name" -i "$input" -O "drover/$name" -- "${words[@]}")")
done

# Policies move jobs by themselves; a hand helps on a machine where they see no need.
moves() { drover events -o json | grep '"event": *"migrated"' | grep -c '"ok": *true' || true; }
move_by_hand() {
  drover ps -o json | python3 -c '
import json, sys
movable = [j for j in json.load(sys.stdin) if j["state"] == "running" and not j["pinned"]]
for job in movable[:1]:
    print(job["job"], next(n for n in ("node3", "node2", "node1", "node0") if n != job["node"]))
' | while read -r id node; do
    echo "(moving job $id to $node by hand)"
    drover migrate "$id" "$node" < /dev/null || true
  done
}
running() { drover ps -o json | grep -c '"job":' || true; }
snapshots=0
while [ "$(running)" -gt 0 ]; do
  if [ "$snapshots" -lt 60 ] && [ $((snapshots % 6)) -eq 1 ]; then
    say "After $((SECONDS - begin)) s: $(moves) moves so far"
    drover nodes
    drover ps
  fi
  if [ "$snapshots" -ge 15 ] && [ "$(moves)" -lt 2 ]; then move_by_hand; fi
  snapshots=$((snapshots + 1))
  sleep 1
done
status=0
drover wait "${ids[@]}" || status=$?
say "All jobs have ended (the last one with exit code $status)"
drover ps --all

say "The same programs run plainly, and compared"
run_plain() { # JOB
  IFS='|' read -r name input command <<< "$1"
  sh -c "$command" < "$input" > "plain/$name"
}
export -f run_plain
# shellcheck disable=SC2016 # $1 is the inner shell's
printf '%s\0' "${jobs[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'run_plain "$1"' plain
different=0
for job in "${jobs[@]}"; do
  name=${job%%|*}
  if cmp -s "drover/$name" "plain/$name"; then
    printf '  equal      %-14s %10d bytes\n' "$name" "$(stat -c %s "plain/$name")"
  else
    printf '  DIFFERENT  %s\n' "$name"
    different=$((different + 1))
  fi
done

say "Who moved where"
drover ps --all -o json > ps.json
drover events -o json > events.jsonl
python3 - <<'PY'
import json
names = {j["job"]: j["name"] for j in json.load(open("ps.json"))}
placed = [j for j in json.load(open("ps.json")) if j["origin"] != "" ]
for line in open("events.jsonl"):
    e = json.loads(line)
    if e.get("event") == "migrated" and e.get("ok"):
        print(f"  {names.get(e['job'], '?'):<14} {e['from']} -> {e['to']}   frozen {e['frozen_ms']:8.1f} ms   {e['image_bytes'] / 1e6:8.2f} MB   {e.get('reason', '')}")
PY
moved=$(moves)
drover down

say "$moved moves, $different of ${#jobs[@]} outputs different, $((SECONDS - begin)) s"
if [ "$moved" -lt 2 ]; then echo "Fewer than 2 moves: the column WHY above says what held the jobs where they were." >&2; fi
if [ "$different" -gt 0 ] || [ "$moved" -lt 2 ]; then
  keep=1
  exit 1
fi
