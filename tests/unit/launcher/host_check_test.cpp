// What is said of a host's answer, of a network, and of a log, without any host.
#include "launcher/world/host_check.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "launcher/world/network.h"
#include "launcher/world/start.h"

namespace drover {
namespace {

constexpr const char* kDroverd = "/opt/drover/bin/droverd";

std::string explain(int exit_code, const std::string& text) {
  return explain_answer({"beta", exit_code, text}, kDroverd, "1.2.3");
}

TEST(HostCheck, SaysNothingOfAGoodHost) {
  EXPECT_EQ(explain(0, "droverd 1.2.3\n"), "");
  EXPECT_EQ(explain(0, "Welcome to beta.\r\n\ndroverd 1.2.3\n"), "");  // some hosts greet
}

TEST(HostCheck, NamesTheHostAndWhatToDo) {
  EXPECT_EQ(
      explain(255, "ssh: connect to host beta port 22: Connection refused\r\n"),
      "beta: ssh: connect to host beta port 22: Connection refused; start sshd there, or take the host out of the "
      "hostfile");
  EXPECT_EQ(explain(255, "Host key verification failed.\r\n"),
            "beta: Host key verification failed; log in once by hand to accept its key: ssh beta");
  EXPECT_EQ(explain(255, "me@beta: Permission denied (publickey,password).\r\n"),
            "beta: me@beta: Permission denied (publickey,password); ssh must log in without a question: ssh-copy-id "
            "beta, then try: ssh -o BatchMode=yes beta true");
  EXPECT_EQ(explain(255, ""), "beta: ssh failed and gave no reason; try: ssh -o BatchMode=yes beta true");
  EXPECT_EQ(explain(-1, "half a li"), "beta: no answer; is it up, and does this work: ssh -o BatchMode=yes beta true");
}

TEST(HostCheck, TellsWhatIsMissingThere) {
  EXPECT_EQ(explain(127, "sh: 1: /opt/drover/bin/droverd: not found\n"),
            "beta: /opt/drover/bin/droverd: not found; install Drover there at the same path as here");
  EXPECT_EQ(explain(127, "orted-is-missing: /usr/bin/orted\n"),
            "beta: /usr/bin/orted: not found; install Open MPI there as here: apt install openmpi-bin");
  EXPECT_NE(
      explain(127, "droverd: error while loading shared libraries: libfmt.so.9: cannot open\n").find("libfmt.so.9"),
      std::string::npos);
  EXPECT_EQ(explain(0, "droverd 1.2.4\n"),
            "beta: its droverd is version 1.2.4, this host's 1.2.3; install the same Drover on every node");
  EXPECT_EQ(explain(1, "droverd 1.2.3\ndroverd: --net 10.9.0.0/16: no address in it on b; give another\n"),
            "beta: --net 10.9.0.0/16: no address in it on b; give another");
}

TEST(Network, IsOneOfThisHost) {
  const std::vector<Interface> interfaces = {{"lo", 0x7f000001, 8, true}, {"eth0", 0x0a4d0001, 24}};
  check_network("10.77.0.0/24", interfaces);
  check_network("10.0.0.0/8", interfaces);
  check_network("0.0.0.0/0", interfaces);
  try {
    check_network("192.168.0.0/16", interfaces);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(),
                 "--net 192.168.0.0/16: this host has no address in it; its networks are: 10.77.0.0/24 (eth0)");
  }
  for (const char* text : {"", "/", "banana", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x", "fd00::/8"})
    EXPECT_THROW(check_network(text, interfaces), std::runtime_error) << text;
}

TEST(Log, TheRanksKnowBest) {
  EXPECT_EQ(reason_of_ranks("ssh: something\ndroverd: warning: slow\ndroverd: MPI_Barrier: lost\ndroverd: no state\n"),
            "droverd: no state");
  EXPECT_EQ(reason_of_ranks("sh: 1: /x/droverd: not found\n"), "");
  EXPECT_EQ(reason_in_log("[a:1] plm:rsh: Warning: setpgid(2,2) failed in parent with errno=Permission denied(13)\n"
                          "ssh: connect to host b port 22: Connection refused\r\n"),
            "ssh: connect to host b port 22: Connection refused");
}

}  // namespace
}  // namespace drover
