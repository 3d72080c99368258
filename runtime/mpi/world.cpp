#include "runtime/mpi/world.h"

#include <fmt/format.h>

#include <utility>

namespace drover::mpi {

namespace {
std::string describe(std::string_view operation, int code) {
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  return fmt::format("{}: {}", operation, std::string_view(text, static_cast<std::size_t>(length)));
}
}  // namespace

MpiError::MpiError(std::string_view operation, int code) : std::runtime_error(describe(operation, code)) {}

Communicator& Communicator::operator=(Communicator&& other) noexcept {
  if (this != &other) {
    reset();
    comm_ = other.release();
  }
  return *this;
}

MPI_Comm Communicator::release() { return std::exchange(comm_, MPI_COMM_NULL); }

void Communicator::reset() {
  if (comm_ != MPI_COMM_NULL) MPI_Comm_free(&comm_);
  comm_ = MPI_COMM_NULL;
}

World::World(int* argc, char*** argv) {
  int provided = MPI_THREAD_SINGLE;
  // MULTIPLE: communicators of survivors are made on a helper thread, since that call blocks.
  check(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_MULTIPLE)
    throw std::runtime_error("this MPI has no MPI_THREAD_MULTIPLE; Drover needs Open MPI 4 built with threads");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
  check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
}

void World::finalize() { check(MPI_Finalize(), "MPI_Finalize"); }

Communicator World::duplicate() const {
  MPI_Comm copy = MPI_COMM_NULL;
  check(MPI_Comm_dup(MPI_COMM_WORLD, &copy), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN);
  return Communicator(copy);
}

}  // namespace drover::mpi
