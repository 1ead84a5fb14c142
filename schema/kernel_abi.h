/* The border between generated native code and whatever calls it (the runtime, the compiler's tests, a host
 * application). Plain C, fixed-width types, no symbol imported: everything generated code needs comes through the call.
 *
 * An entry is one function. It reads and writes the buffers it is given and nothing else; it never allocates, never
 * throws, never calls libc. It returns one of the codes below.
 *
 * Compatibility: fields are only ever appended, and `abi_version` is raised when a reader must know. A runtime
 * refuses a library whose abi_version is newer than its own. */
#ifndef MORU_KERNEL_ABI_H
#define MORU_KERNEL_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MORU_KERNEL_ABI_VERSION 1u          /* of programs, and of libraries with one set of entries */
#define MORU_KERNEL_ABI_VERSION_VARIANTS 2u /* of libraries with variants */
#define MORU_BUFFER_ALIGNMENT                                                                \
  64 /* bytes; every buffer address handed to an entry is a multiple of it, and readable and \
        writable up to the next multiple of it behind its last byte */

enum { MORU_KERNEL_OK = 0 };

/* One piece of a parallel loop. `chunk` counts from 0; `worker` < the `workers` symbol names the scratch it may use. */
typedef void (*moru_chunk_body)(const void* body_context, int64_t chunk, int64_t worker);

typedef struct moru_kernel_call {
  /* One address per buffer: first the program's slots in slot order, then the entry's arena buffers in their order.
   * A slot that the entry does not use may be null. */
  void* const* buffers;
  /* The value of each of the program's dimension symbols, in their order (`workers` among them). */
  const int64_t* symbols;
  /* Runs body(context, chunk, worker) once for every chunk in [0, chunk_count) and returns when all are done. */
  void (*parallel_for)(void* pool, int64_t chunk_count, moru_chunk_body body, const void* body_context);
  void* pool;
} moru_kernel_call;

typedef int32_t (*moru_entry_function)(const moru_kernel_call* call);

typedef struct moru_kernel_entry {
  const char* name; /* "predict", "train_step", ... */
  moru_entry_function function;
} moru_kernel_entry;

/* The same entries for a better processor of the same family. */
typedef struct moru_kernel_variant {
  const char* target; /* "x86-64-v4" */
  const moru_kernel_entry* entries;
} moru_kernel_variant;

/* What a compiled artifact exports, whether it comes from the JIT, a shared object or a static library. */
typedef struct moru_kernel_library {
  uint32_t abi_version;
  uint32_t entry_count;
  uint64_t program_hash;
  const moru_kernel_entry* entries;
  /* A whole `.moru` file (header, program, recipe, weights) or null where only code is carried. */
  const uint8_t* file;
  uint64_t file_bytes;
  /* From version MORU_KERNEL_ABI_VERSION_VARIANTS on: variants of `entries`, which are for the least processor, each for
   * a better one than the variant before. */
  const moru_kernel_variant* variants;
  uint64_t variant_count;
} moru_kernel_library;

/* The one symbol a shared object exports; a statically linked model exports it under its own prefix. */
#define MORU_KERNEL_LIBRARY_SYMBOL "moru_kernel_library_get"
typedef const moru_kernel_library* (*moru_kernel_library_getter)(void);

#ifdef __cplusplus
}
#endif
#endif
