#!/bin/bash
# A tree that has huge pages is refused where there are too few, by name and before a process of it is made, and restored
# where there are enough: few_huge_pages.sh DROVER-CKPT KIND, with with_huge_pages.sh around it. KIND: memfd (full), mapped
# (empty), named (a file on hugetlbfs, which another node lacks), anonymous, or private.
ckpt=$1 kind=$2
if [ "$kind" = named ] && [ -z "$3" ]; then
  # shellcheck disable=SC2016 # expanded by the inner shell
  exec unshare --mount sh -c 'mount -t hugetlbfs none /mnt && exec "$0" "$@" /mnt' "$0" "$@"
fi
setting=/proc/sys/vm/nr_hugepages
have=$(cat $setting)
dir=$(mktemp -d /tmp/drover-test-XXXXXX) && cd "$dir" || exit 1
fail() {
  [ -n "$pid" ] && kill "$pid" 2>/dev/null
  echo "FAILED: $1; kept $dir"
  exit 1
}
# shellcheck disable=SC2016 # expanded by the inner shell
setsid bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -gt 2 ] && eval "exec $fd>&-"; done 2>/dev/null
  exec /usr/bin/python3 -c "$0" "$1"' 'import mmap, os, sys, time
HUGE, HUGETLB, kind = 2 << 20, 0x40000, sys.argv[1]
if kind in ("memfd", "mapped", "named"):
    file = os.memfd_create("huge", 4) if kind != "named" else os.open("/mnt/named", os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 3 * HUGE)
    area = mmap.mmap(file, 3 * HUGE, mmap.MAP_SHARED)
else:
    area = mmap.mmap(-1, 3 * HUGE, HUGETLB | mmap.MAP_ANONYMOUS | (mmap.MAP_SHARED if kind == "anonymous" else mmap.MAP_PRIVATE))
if kind != "mapped":
    area[HUGE + 5:HUGE + 9] = b"here"
if kind == "memfd":
    area.close()
open("ready", "w").close()
time.sleep(1.5)
if kind == "memfd":
    area = mmap.mmap(file, 3 * HUGE, mmap.MAP_SHARED)
sys.exit(7 if area[HUGE + 5:HUGE + 9] == (b"\0" * 4 if kind == "mapped" else b"here") else 8)' "$kind" </dev/null >out 2>&1 &
pid=$!
for _ in $(seq 500); do [ -e ready ] && break; sleep 0.01; done
[ -e ready ] || fail "the program did not start: $(cat out)"
"$ckpt" dump $pid image || fail "dump"
{ wait $pid; } 2>/dev/null  # bash tells of it
[ "$kind" = named ] && rm /mnt/named
echo $((have - $(awk '/HugePages_Free/ {print $2}' /proc/meminfo))) >$setting
refused=$("$ckpt" restore --new-pid-namespace image 2>&1)
code=$?
echo "$have" >$setting
if [ $code -ne 1 ] || [[ $refused != *"needs "*" huge pages of 2048 KiB"* ]]; then
  fail "restored with too few pages: $code, $refused"
fi
"$ckpt" restore --new-pid-namespace image
code=$?
[ $code -eq 7 ] || fail "restored with enough pages: $code"
cd / && rm -rf "$dir"
