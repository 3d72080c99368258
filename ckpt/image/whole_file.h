// Whether a file holds an image up to its end, told from its first and its last bytes: before anything is made of it.
#pragma once

namespace drover {

// The file begins as an image does, and with its last byte the image ends; what is between has not been looked at.
// Throws ImageError. The offset of `fd` stays.
void expect_whole_file(int fd);

}  // namespace drover
