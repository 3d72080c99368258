// Where sockets and state live, and that no directory of another user is trusted.
#include "runtime/control/paths.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

#include "tests/unit/runtime/temporary_directory.h"

namespace drover {
namespace {

class Paths : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"DROVER_RUNTIME_DIR", "DROVER_STATE_DIR", "DROVER_INSTANCE", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"})
      ::unsetenv(name);
    ::setenv("HOME", directory_.path().c_str(), 1);
  }
  TemporaryDirectory directory_;
};

TEST_F(Paths, ComeFromTheEnvironmentInOrder) {
  EXPECT_EQ(instance_paths().runtime, "/tmp/drover-" + std::to_string(::geteuid()) + "/default");
  EXPECT_EQ(instance_paths().state, directory_.path() + "/.local/state/drover/default");
  ::setenv("XDG_RUNTIME_DIR", directory_.path().c_str(), 1);
  ::setenv("XDG_STATE_HOME", "/shared", 1);
  EXPECT_EQ(instance_paths().runtime, directory_.path() + "/drover/default");
  EXPECT_EQ(instance_paths().state, "/shared/drover/default");
  ::setenv("DROVER_RUNTIME_DIR", "/r", 1);
  ::setenv("DROVER_STATE_DIR", "/s", 1);
  ::setenv("DROVER_INSTANCE", "test-1", 1);
  EXPECT_EQ(instance_paths().control_socket("node0"), "/r/test-1/node0/control");
  EXPECT_EQ(instance_paths().job_dir(7), "/s/test-1/jobs/7");
}

TEST_F(Paths, IgnoreARuntimeDirectoryThatIsNotThere) {
  ::setenv("XDG_RUNTIME_DIR", "/nonexistent/run/user/1", 1);
  EXPECT_EQ(instance_paths().runtime.substr(0, 12), "/tmp/drover-");
}

TEST_F(Paths, NeverFollowTmpdir) {
  ::setenv("TMPDIR", "/elsewhere", 1);
  EXPECT_EQ(instance_paths().runtime.substr(0, 5), "/tmp/");
  ::unsetenv("TMPDIR");
}

TEST_F(Paths, RefuseNamesThatLeaveTheDirectory) {
  for (const char* name : {"../x", "a/b", ".hidden", "with blank", "0123456789012345678901234567890123"}) {
    ::setenv("DROVER_INSTANCE", name, 1);
    EXPECT_THROW(instance_paths(), std::runtime_error) << name;
  }
}

TEST_F(Paths, SayWhatToSetWithoutAHome) {
  ::setenv("HOME", "/nonexistent", 1);
  try {
    instance_paths();
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("DROVER_STATE_DIR"), std::string::npos);
  }
}

TEST_F(Paths, MakePrivateDirectories) {
  const std::string path = directory_.path() + "/a/b/c";
  make_private_directory(path);
  make_private_directory(path);
  struct stat status;
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  EXPECT_THROW(make_private_directory(path), std::runtime_error);
  directory_.write("file", "");
  EXPECT_THROW(make_private_directory(directory_.path() + "/file"), std::runtime_error);
  ASSERT_EQ(::symlink(path.c_str(), (directory_.path() + "/link").c_str()), 0);
  EXPECT_THROW(make_private_directory(directory_.path() + "/link"), std::runtime_error);
}

// Somebody else's folder in /tmp could be given another instance below it at any time.
TEST_F(Paths, RefuseADefaultFolderThatIsOpenOrSomebodyElses) {
  const std::string base = directory_.path() + "/default";
  ASSERT_EQ(::mkdir(base.c_str(), 0700), 0);
  ASSERT_EQ(::chmod(base.c_str(), 0777), 0);
  EXPECT_THROW(make_private_directory(base + "/instance", base), std::runtime_error);
  EXPECT_NO_THROW(make_private_directory(base + "/chosen", default_runtime_base()));
  ASSERT_EQ(::chmod(base.c_str(), 0700), 0);
  EXPECT_NO_THROW(make_private_directory(base + "/instance", base));
}

TEST_F(Paths, ListNodesInTheOrderOfTheirNumbers) {
  for (const char* node : {"node10", "node2", "node1"}) directory_.write(std::string(node) + "/control", "");
  directory_.write("up.pid", "1");
  EXPECT_EQ(local_nodes({directory_.path(), ""}), (std::vector<std::string>{"node1", "node2", "node10"}));
  EXPECT_TRUE(local_nodes({"/nonexistent", ""}).empty());
}

}  // namespace
}  // namespace drover
