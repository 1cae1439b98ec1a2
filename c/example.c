/* Lists the tensors of an archive, and prints the first two rows of one of them.
 *
 * usage: c_example ARCHIVE [TENSOR [BASE]]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pith/c/pith.h"

static int failed(const char* doing) {
  fprintf(stderr, "%s: %s\n", doing, pith_last_error());
  return 1;
}

static int list(const pith_archive* archive) {
  for (size_t i = 0; i < pith_tensor_count(archive); ++i) {
    pith_tensor_info info = PITH_TENSOR_INFO_INIT;
    if (pith_tensor(archive, i, &info) != PITH_OK) return failed("list");
    printf("%s %s [", info.name, info.dtype_name);
    for (size_t d = 0; d < info.ndim; ++d) printf(d ? ", %" PRIu64 : "%" PRIu64, info.shape[d]);
    printf("] %" PRIu64 "\n", info.nbytes);
  }
  return 0;
}

/* bf16 is the upper half of an f32. */
static double element(const unsigned char* at, int32_t dtype) {
  float value = 0;
  if (dtype == PITH_F32) {
    memcpy(&value, at, sizeof value);
  } else if (dtype == PITH_BF16) {
    memcpy((char*)&value + 2, at, 2);
  }
  return value;
}

static int print_rows(const pith_archive* archive, const char* name) {
  size_t index;
  pith_tensor_info info = PITH_TENSOR_INFO_INIT;
  if (pith_find(archive, name, &index) != PITH_OK) return failed("find");
  if (pith_tensor(archive, index, &info) != PITH_OK) return failed("tensor");
  if (info.dtype != PITH_F32 && info.dtype != PITH_BF16) {
    fprintf(stderr, "%s is %s; this example prints f32 and bf16\n", name, info.dtype_name);
    return 1;
  }
  const uint64_t rows = info.ndim == 0 ? 1 : info.shape[0] < 2 ? info.shape[0] : 2;
  const size_t width = info.dtype == PITH_F32 ? 4 : 2;
  const size_t size = (size_t)(rows * info.row_bytes);
  unsigned char* data = malloc(size ? size : 1);
  if (!data) return 1;
  const pith_status status = pith_read_rows(archive, index, 0, rows, data, size);
  if (status == PITH_OK) {
    for (size_t at = 0; at < size; at += width) {
      printf("%.9g%c", element(data + at, info.dtype),
             (at + width) % info.row_bytes == 0 ? '\n' : ' ');
    }
  }
  free(data);
  return status == PITH_OK ? 0 : failed("read");
}

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    fprintf(stderr, "usage: %s ARCHIVE [TENSOR [BASE]]   (pith %s)\n", argv[0], pith_version());
    return 2;
  }
  const char* const bases[] = {argc > 3 ? argv[3] : ""};
  pith_open_options options = PITH_OPEN_OPTIONS_INIT;
  options.bases = bases;
  options.base_count = argc > 3 ? 1 : 0;
  pith_archive* archive = NULL;
  if (pith_open(argv[1], &options, &archive) != PITH_OK) return failed("open");
  const int result = argc > 2 ? print_rows(archive, argv[2]) : list(archive);
  pith_close(archive);
  return result;
}
