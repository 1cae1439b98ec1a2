/* Pith for other runtimes: a plain C interface to read .pith archives and coded buffers.
 *
 *   pith_archive* archive;
 *   size_t index;
 *   pith_tensor_info info = PITH_TENSOR_INFO_INIT;
 *   if (pith_open("model.pith", NULL, &archive) != PITH_OK) puts(pith_last_error());
 *   pith_find(archive, "lm_head.weight", &index);
 *   pith_tensor(archive, index, &info);
 *   pith_read_rows(archive, index, 0, 2, buffer, 2 * info.row_bytes);
 *   pith_close(archive);
 *
 * Every function that can fail returns a pith_status; its text is then in pith_last_error() of the
 * same thread. A null pointer where one is needed is PITH_ERROR_USAGE, never a crash. An archive
 * may be used by many threads at once (but closed by one, when no other uses it).
 *
 * Structures begin with their size, set by the ..._INIT macros, so that a program built against an
 * older header runs with a newer library.
 */
#ifndef PITH_C_PITH_H
#define PITH_C_PITH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PITH_VERSION_MAJOR 0
#define PITH_VERSION_MINOR 1
#define PITH_VERSION_PATCH 0

#if defined(__GNUC__)
#define PITH_API __attribute__((visibility("default")))
#else
#define PITH_API
#endif

typedef enum pith_status {
  PITH_OK = 0,
  PITH_ERROR_DATA = 1,    /* malformed, truncated or corrupt input */
  PITH_ERROR_IO = 2,      /* the operating system refused */
  PITH_ERROR_LIMIT = 3,   /* larger than the caller allows */
  PITH_ERROR_USAGE = 4,   /* no such tensor, wrong buffer size, null pointer */
  PITH_ERROR_BASE = 5,    /* the base of a delta is missing or is another file */
  PITH_ERROR_MEMORY = 6,  /* out of memory */
  PITH_ERROR_INTERNAL = 7 /* a defect in Pith */
} pith_status;

/* Element types; the numbers are those of the archive format. GGML's block types are 64 + the
 * number that GGUF gives them. */
typedef enum pith_dtype {
  PITH_BYTES = 0,
  PITH_BOOL = 1,
  PITH_U8 = 2,
  PITH_I8 = 3,
  PITH_U16 = 4,
  PITH_I16 = 5,
  PITH_U32 = 6,
  PITH_I32 = 7,
  PITH_U64 = 8,
  PITH_I64 = 9,
  PITH_F16 = 10,
  PITH_BF16 = 11,
  PITH_F32 = 12,
  PITH_F64 = 13,
  PITH_F8_E4M3 = 14,
  PITH_F8_E5M2 = 15,
  PITH_F8_E8M0 = 16,
  PITH_F8_E4M3FNUZ = 17,
  PITH_F8_E5M2FNUZ = 18,
  PITH_C64 = 19,
  PITH_C128 = 20,
  PITH_U4 = 21,
  PITH_I4 = 22,
  PITH_F4 = 23,
  PITH_F6_E2M3 = 24,
  PITH_F6_E3M2 = 25,
  PITH_GGML = 64
} pith_dtype;

typedef enum pith_level { PITH_FAST = 0, PITH_DEFAULT = 1, PITH_MAX = 2 } pith_level;

typedef struct pith_archive pith_archive;

typedef struct pith_open_options {
  size_t size;
  const char* const* bases; /* where the base of a delta is; or NULL: beside the archive */
  size_t base_count;
  uint64_t memory_limit; /* bytes that one read may allocate; 0: 8 GiB */
} pith_open_options;
#define PITH_OPEN_OPTIONS_INIT \
  { sizeof(pith_open_options), NULL, 0, 0 }

/* Pointers live as long as the archive. */
typedef struct pith_tensor_info {
  size_t size;
  const char* name;       /* UTF-8 */
  const char* file;       /* path within the archive */
  const char* dtype_name; /* "bf16", "f32", "q4_K" */
  int32_t dtype;          /* pith_dtype */
  int32_t big_endian;     /* 1: elements are stored most significant byte first */
  const uint64_t* shape;  /* outermost dimension first */
  size_t ndim;            /* 0: one element */
  uint64_t nbytes;
  uint64_t row_bytes; /* of one row of the outermost dimension; 0 when there is no row */
} pith_tensor_info;
#define PITH_TENSOR_INFO_INIT \
  { sizeof(pith_tensor_info), NULL, NULL, NULL, 0, 0, NULL, 0, 0, 0 }

/* "0.1.0", of the library that runs. */
PITH_API const char* pith_version(void);

/* One line about the last failure in this thread, "" when there was none. Valid until the next call
 * in this thread. */
PITH_API const char* pith_last_error(void);

/* Opens an archive; costs its index only. `options` may be NULL. On failure *archive is NULL. */
PITH_API pith_status pith_open(const char* path, const pith_open_options* options,
                               pith_archive** archive);
/* The same for bytes in memory, which must outlive the archive. */
PITH_API pith_status pith_open_memory(const void* data, size_t size,
                                      const pith_open_options* options, pith_archive** archive);
/* NULL is allowed. */
PITH_API void pith_close(pith_archive* archive);

/* Tensors are numbered from 0 in the order of the files and of their places in them. */
PITH_API size_t pith_tensor_count(const pith_archive* archive);
PITH_API pith_status pith_tensor(const pith_archive* archive, size_t index, pith_tensor_info* info);
/* The tensor called `name`, or "file:name" where several files have one of that name. */
PITH_API pith_status pith_find(const pith_archive* archive, const char* name, size_t* index);

/* Decodes a tensor into `buffer` of exactly nbytes bytes; threads <= 0: as many as there are
 * processors. What a failed call leaves in the buffer is not specified. */
PITH_API pith_status pith_read(const pith_archive* archive, size_t index, void* buffer,
                               size_t buffer_size, int threads);
/* Rows first <= r < last of the outermost dimension, (last - first) * row_bytes bytes; only the
 * blocks in which they lie are decoded. */
PITH_API pith_status pith_read_rows(const pith_archive* archive, size_t index, uint64_t first,
                                    uint64_t last, void* buffer, size_t buffer_size);

/* Coded buffers: one piece of memory in, a self-contained checksummed frame out. */

/* The largest frame that `size` bytes can become; 0 when that does not fit into a size_t. */
PITH_API size_t pith_compress_bound(size_t size);
/* `dtype` (a pith_dtype, PITH_BYTES if unknown) is a hint; `level` is a pith_level. `capacity` of
 * pith_compress_bound(size) is always enough; *written is the frame's size. */
PITH_API pith_status pith_compress(const void* data, size_t size, int32_t dtype, int32_t level,
                                   int threads, void* frame, size_t capacity, size_t* written);
/* Size of the original. */
PITH_API pith_status pith_decompressed_size(const void* frame, size_t frame_size, uint64_t* size);
/* `size`: exactly the size of the original. */
PITH_API pith_status pith_decompress(const void* frame, size_t frame_size, void* data, size_t size,
                                     int threads);

#ifdef __cplusplus
}
#endif

#endif
