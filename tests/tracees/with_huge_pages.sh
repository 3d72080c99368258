#!/bin/sh
# Runs a command while the machine has some more huge pages: with_huge_pages.sh NUMBER COMMAND... 77 (skipped): it has none
# to give.
number=$1
shift
setting=/proc/sys/vm/nr_hugepages
before=$(cat $setting 2>/dev/null) || { echo "SKIPPED: the kernel has no huge pages"; exit 77; }
wanted=$((before + number))
restore() { echo "$before" >$setting; }
trap restore EXIT
trap 'exit 1' INT TERM HUP
{ echo $wanted >$setting; } 2>/dev/null
if [ "$(cat $setting)" -lt $wanted ]; then
  echo "SKIPPED: no $number huge pages can be had"
  exit 77
fi
"$@"
