#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <csignal>
#include <stdexcept>

#include "ckpt/freeze/last_run.h"
#include "ckpt/sys/clocks.h"
#include "ckpt/sys/cpu.h"
#include "ckpt/sys/fdinfo.h"
#include "ckpt/sys/maps.h"
#include "ckpt/sys/numa_maps.h"
#include "ckpt/sys/posix_timers.h"
#include "ckpt/sys/sysvipc.h"
#include "ckpt/sys/task_stat.h"
#include "ckpt/sys/task_status.h"

namespace drover {
namespace {

TEST(Maps, ReadsOneAreaOfAFile) {
  const auto areas = parse_maps("7f00aa000000-7f00aa001000 r-xp 00002000 fe:1f 12345    /usr/lib/with blank.so\n");
  ASSERT_EQ(areas.size(), 1U);
  EXPECT_EQ(areas[0].start, 0x7f00aa000000U);
  EXPECT_EQ(areas[0].bytes(), 4096U);
  EXPECT_EQ(areas[0].prot, PROT_READ | PROT_EXEC);
  EXPECT_FALSE(areas[0].shared);
  EXPECT_EQ(areas[0].offset, 0x2000U);
  EXPECT_EQ(areas[0].device, makedev(0xfe, 0x1f));
  EXPECT_EQ(areas[0].inode, 12345U);
  EXPECT_EQ(areas[0].path, "/usr/lib/with blank.so");
}

TEST(Maps, AnonymousHasNoPathAndNewlinesAreUnescaped) {
  const auto areas = parse_maps("1000-2000 ---s 00000000 00:00 0 \n2000-3000 rw-p 00000000 00:01 7 /a\\012b (deleted)");
  ASSERT_EQ(areas.size(), 2U);
  EXPECT_EQ(areas[0].path, "");
  EXPECT_TRUE(areas[0].shared);
  EXPECT_EQ(areas[0].prot, PROT_NONE);
  EXPECT_EQ(areas[1].path, "/a\nb (deleted)");
}

TEST(Maps, RefusesWhatItCannotRead) {
  EXPECT_THROW(parse_maps("nonsense"), std::invalid_argument);
  EXPECT_THROW(parse_maps("1000 rw-p 0 00:00 0"), std::invalid_argument);
  EXPECT_THROW(parse_smaps("Rss:  4 kB\n"), std::invalid_argument);
  EXPECT_TRUE(parse_maps("").empty());
}

TEST(NumaMaps, TellsTheAreasThatHaveAPolicy) {
  const auto starts = parse_numa_maps(
      "565391ba2000 default file=/usr/bin/head mapped=2 N0=2 kernelpagesize_kB=4\n"
      "7f00000000 bind=static:0 anon=1 dirty=1 N0=1\n"
      "\n"
      "nonsense interleave:0\n"
      "7ffd00001000 interleave:0-3 stack anon=3\n");
  EXPECT_EQ(starts, (std::vector<std::uint64_t>{0x7f00000000, 0x7ffd00001000}));
  EXPECT_TRUE(parse_numa_maps("").empty());
}

TEST(SysvIpc, TellsKeysIdsAndSwap) {
  const auto segments = parse_sysvipc(
      "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      "
      "dtime      ctime                   rss                  swap\n"
      "      4660          0   600                  4096  8397     0      0 65534 65534 65534 65534          0         "
      " "
      "0 1795398830                     0                  8192\n"
      "-559038737      65539  1600                 16384  8397  8397      8 65534 65534 65534 65534 1795398830         "
      " "
      "0 1795398830                  4096                     0\n");
  ASSERT_EQ(segments.size(), 2U);
  EXPECT_EQ(segments[0].key, 4660);
  EXPECT_EQ(segments[0].swap_bytes, 8192U);
  EXPECT_EQ(segments[1].key, -559038737);
  EXPECT_EQ(segments[1].id, 65539);
  EXPECT_EQ(segments[1].swap_bytes, 0U);
}

TEST(SysvIpc, QueuesHaveNoSwapAndRubbishIsRefused) {
  const auto queues = parse_sysvipc("key msqid perms cbytes qnum\n 1 2 600 0 0\n");
  ASSERT_EQ(queues.size(), 1U);
  EXPECT_EQ(queues[0].swap_bytes, 0U);
  EXPECT_TRUE(parse_sysvipc("").empty());
  EXPECT_THROW(parse_sysvipc("key msqid\nrubbish\n"), std::invalid_argument);
}

TEST(Maps, SmapsCarriesFlagsSwapAndKey) {
  const auto areas = parse_smaps(
      "1000-2000 rw-p 00000000 00:00 0 [heap]\nSize: 4 kB\nSwap:                 12 kB\nProtectionKey:         3\n"
      "VmFlags: rd wr mr mw me ac hg \n");
  ASSERT_EQ(areas.size(), 1U);
  EXPECT_TRUE(areas[0].has_flag("hg"));
  EXPECT_FALSE(areas[0].has_flag("nh"));
  EXPECT_EQ(areas[0].swap_kib, 12U);
  EXPECT_EQ(areas[0].protection_key, 3U);
}

TEST(TaskStat, NameMayHoldAnything) {
  const auto stat = parse_task_stat(
      "42 (a) (b )) S 1 42 40 34816 -1 4194304 1 2 3 4 5 6 7 8 20 -5 1 0 99 1000 20 18446744073709551615 11 12 13 0 0 "
      "0 0 "
      "0 0 0 0 0 17 1 0 0 0 0 0 45 46 47 48 49 50 51 0\n");
  EXPECT_EQ(stat.comm, "a) (b )");
  EXPECT_EQ(stat.state, 'S');
  EXPECT_EQ(stat.parent, 1);
  EXPECT_EQ(stat.session, 40);
  EXPECT_EQ(stat.terminal, 34816);
  EXPECT_EQ(stat.threads, 1);
  EXPECT_EQ(stat.start_ticks, 99U);
  EXPECT_EQ(stat.start_code, 11U);
  EXPECT_EQ(stat.start_stack, 13U);
  EXPECT_EQ(stat.exit_signal, 17);
  EXPECT_EQ(stat.processor, 1);
  EXPECT_EQ(stat.start_data, 45U);
  EXPECT_EQ(stat.env_end, 51U);
  EXPECT_THROW(parse_task_stat("42 (a S 1"), std::invalid_argument);
  EXPECT_THROW(parse_task_stat("42 (a) S 1 2"), std::invalid_argument);
}

TEST(TaskStatus, ReadsIdsMasksAndFlags) {
  const auto status = parse_task_status(
      "Name:\tx\nUmask:\t0027\nNSpid:\t700\t5\nTracerPid:\t9\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t10 20 \n"
      "SigBlk:\t0000000000010000\nSigCgt:\t0000000180000000\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\n"
      "THP_enabled:\t0\nThreads:\t3\n");
  EXPECT_EQ(status.umask, 027U);
  EXPECT_EQ(status.namespace_pids, (std::vector<pid_t>{700, 5}));
  EXPECT_EQ(status.tracer, 9);
  EXPECT_EQ(status.uid, (std::array<uid_t, 4>{1, 2, 3, 4}));
  EXPECT_EQ(status.gid[3], 8U);
  EXPECT_EQ(status.groups, (std::vector<gid_t>{10, 20}));
  EXPECT_EQ(status.blocked, 0x10000U);
  EXPECT_EQ(status.caught, 0x180000000U);
  EXPECT_EQ(status.cap_bounding, 0x1ffffffffffU);
  EXPECT_TRUE(status.no_new_privs);
  EXPECT_EQ(status.seccomp, 2);
  EXPECT_FALSE(status.thp_enabled);
}

TEST(FdInfo, ReadsPositionFlagsAndLocks) {
  const auto info = parse_fdinfo(
      "pos:\t4096\nflags:\t02100002\nmnt_id:\t29\nlock:\t1: FLOCK  ADVISORY  WRITE 1 00:1:2 0 EOF\n"
      "lock:\t2: POSIX  ADVISORY  READ 4711 fe:00:1234 100 199\nlock:\t2: -> POSIX  ADVISORY  READ 5 fe:00:1234 0 9\n"
      "lock:\t3: OFDLCK ADVISORY  WRITE -1 fe:00:1234 0 EOF\nlock:\t4: LEASE  ACTIVE    READ 7 fe:00:1234 0 EOF\n");
  EXPECT_EQ(info.position, 4096);
  EXPECT_EQ(info.flags, 02100002);
  ASSERT_EQ(info.locks.size(), 4U);
  EXPECT_TRUE(info.locks[0].kind == LockKind::Flock && info.locks[0].write && info.locks[0].length == 0);
  EXPECT_TRUE(info.locks[1].kind == LockKind::Posix && !info.locks[1].write && info.locks[1].owner == 4711);
  EXPECT_TRUE(info.locks[1].start == 100 && info.locks[1].length == 100);
  EXPECT_TRUE(info.locks[2].kind == LockKind::OpenFile && info.locks[3].kind == LockKind::Lease);
}

TEST(FdInfo, ReadsEventTimerAndEpoll) {
  EXPECT_EQ(parse_fdinfo("eventfd-count:               2a\neventfd-semaphore: 1\n").eventfd_count, 42U);
  const FdInfo watcher = parse_fdinfo(
      "flags:\t00\ninotify wd:2 ino:6401b sdev:fe00000 mask:80000002 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 "
      "f_handle:1b4006009b1cd1a8\ninotify wd:1 ino:3c51a sdev:fe00000 mask:2 ignored_mask:0\n");
  ASSERT_EQ(watcher.watches.size(), 2U);
  EXPECT_TRUE(watcher.watches[0].descriptor == 2 && watcher.watches[0].inode == 0x6401b);
  EXPECT_TRUE(watcher.watches[0].mask == 0x80000002 && watcher.watches[1].device == 0xfe00000);
  EXPECT_EQ(parse_fdinfo("pos:\t0\nPid:\t13573\nNSpid:\t13573\n").pidfd_target, 13573);
  const auto timer =
      parse_fdinfo("clockid: 1\nticks: 3\nsettime flags: 01\nit_value: (0, 49406829)\nit_interval: (1, 0)\n");
  EXPECT_EQ(timer.clock_id, 1);
  EXPECT_EQ(timer.timer_ticks, 3U);
  EXPECT_EQ(timer.timer_settime_flags, 1);
  EXPECT_EQ(timer.timer_value_ns, 49406829);
  EXPECT_EQ(timer.timer_interval_ns, 1'000'000'000);
  const auto epoll = parse_fdinfo("tfd:        5 events:       19 data: abcdef0123456789  pos:0 ino:8e1 sdev:e\n");
  ASSERT_EQ(epoll.epoll_targets.size(), 1U);
  EXPECT_EQ(epoll.epoll_targets[0].fd, 5);
  EXPECT_EQ(epoll.epoll_targets[0].events, 0x19U);
  EXPECT_EQ(epoll.epoll_targets[0].data, 0xabcdef0123456789U);
  EXPECT_EQ(epoll.epoll_targets[0].inode, 0x8e1U);
}

TEST(PosixTimers, ReadsAllKinds) {
  const auto timers = parse_posix_timers(
      "ID: 1\nsignal: 60/00007fff86e452a8\nnotify: signal/pid.2634\nClockID: 0\n"
      "ID: 4\nsignal: 34/0000000000000005\nnotify: signal/tid.77\nClockID: 1\n"
      "ID: 5\nsignal: 0/0000000000000000\nnotify: none/pid.2634\nClockID: -6\n");
  ASSERT_EQ(timers.size(), 3U);
  EXPECT_EQ(timers[0].value, 0x7fff86e452a8U);
  EXPECT_EQ(timers[0].notify, SIGEV_SIGNAL);
  EXPECT_EQ(timers[1].notify, SIGEV_THREAD_ID);
  EXPECT_EQ(timers[1].target, 77);
  EXPECT_EQ(timers[2].notify, SIGEV_NONE);
  EXPECT_EQ(timers[2].clock_id, -6);
}

TEST(Clocks, ReadsNegativeOffsets) {
  const auto offsets = parse_timens_offsets("monotonic          -3  500000000\nboottime            7         1\n");
  EXPECT_EQ(offsets.monotonic_ns, -2'500'000'000);
  EXPECT_EQ(offsets.boottime_ns, 7'000'000'001);
}

TEST(Cpu, KeepsOnlyInstructionSetsSorted) {
  EXPECT_EQ(parse_cpu_instructions("processor : 0\nflags\t\t: fpu sse2 constant_tsc avx2 aes\nflags : avx512f\n"),
            (std::vector<std::string>{"aes", "avx2", "sse2"}));
}

TEST(Cpu, NamesWhatAnotherProcessorLacks) {
  CpuFeatures here, needed;
  here.xcr0 = 0b111, here.instructions = {"aes", "avx2", "sse2"};
  needed.xcr0 = 0b11, needed.instructions = {"aes", "sse2"};
  EXPECT_EQ(processor_lacks(here, needed), "");
  EXPECT_EQ(processor_lacks(needed, here), "lacks avx2, which the program may use");
  needed.xcr0 = 0b11100111;  // AVX-512's state, though no instruction set was named
  EXPECT_EQ(processor_lacks(here, needed), "saves less state than the program has");
}

TEST(Sched, TellsWhenATaskLastRan) {
  const auto detail =
      parse_sched("cat (5985, #threads: 1)\n---\nse.exec_start    :       2243593.620472\nnr_switches  :  12\n");
  ASSERT_TRUE(detail);
  EXPECT_EQ(detail->exec_start_ns, 2243593620472);
  EXPECT_EQ(detail->switches, 12U);
  EXPECT_FALSE(parse_sched("nr_switches : 1\n"));
}

}  // namespace
}  // namespace drover
