# shellcheck shell=sh
# What init runs: the rest of a system, then every command of /commands, a file each, in the order of their names.
export PATH=/usr/bin:/usr/sbin HOME=/root
export DROVER_EMULATED=1 # everything is slow
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts /dev/pts
ln -sf pts/ptmx /dev/ptmx
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
ln -sf /proc/self/fd /dev/fd
ip link set lo up 2>/dev/null
echo "vm: Linux $(cat /proc/sys/kernel/osrelease) is up after $(cut -d' ' -f1 /proc/uptime) s"
for command in /commands/*; do
  begin=$(cut -d. -f1 /proc/uptime)
  sh "$command" </dev/null >/output 2>&1
  code=$?
  sed 's/^/vm:   /' /output
  echo "vm: $(sed -n '1s/^# //p' "$command"): code $code, $(($(cut -d. -f1 /proc/uptime) - begin)) s"
done
