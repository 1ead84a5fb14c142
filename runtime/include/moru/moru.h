/* Moru's C API: load a compiled model, predict with it, train it further, save it. Usable from any language that can
 * call C.
 *
 * A model compiled by `moru compile M -o M.so` is a shared object that carries its program, weights and recipe; one
 * compiled to M.o is linked in and found through its own header. Predicting takes five calls:
 *
 *     moru_program* program;
 *     moru_session* session;
 *     if (moru_program_open("M.so", &program) != MORU_OK) { puts(moru_last_error()); return 1; }
 *     if (moru_session_create(program, 1, &session) != MORU_OK) { puts(moru_last_error()); return 1; }
 *     int64_t shape[] = {32, 24, 11};
 *     moru_session_bind(session, moru_program_find_slot(program, "x"), x, shape, 3);
 *     moru_session_run(session, moru_program_find_entry(program, "predict"));
 *     moru_tensor y;
 *     moru_session_view(session, moru_program_find_slot(program, "y"), &y);
 *
 * Every function that can fail returns MORU_OK (0) or a code of enum moru_status and leaves a message for
 * moru_last_error(). Passing a slot or entry of -1 (not found) is such a failure. Handles must be valid:
 * null is refused, a freed handle is the caller's mistake.
 *
 * Threads: a program may be used by any number of threads at once, a session by one thread at a time. Sessions over one
 * program are independent; each has its own parameters.
 *
 * Compatibility: functions and enum values are only ever added; structs that the caller allocates do not change, but for
 * moru_session_options, which says how long it is. MORU_ABI_VERSION is raised with every addition; a program that was
 * built for an older version runs with a newer library. */
#ifndef MORU_MORU_H
#define MORU_MORU_H

#include <stdint.h>

#if defined(__GNUC__)
#define MORU_API __attribute__((visibility("default")))
#else
#define MORU_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct moru_program moru_program;
typedef struct moru_session moru_session;
typedef struct moru_kernel_library moru_kernel_library; /* schema/kernel_abi.h; returned by the header of M.o */

#define MORU_ABI_VERSION 2 /* 2: moru_abi_version, moru_session_create_with */

enum moru_status {
  MORU_OK = 0,

  MORU_INVALID_ARGUMENT = 100,
  MORU_NOT_FOUND = 101,      /* no slot, entry or section of that name */
  MORU_SHAPE_MISMATCH = 102,
  MORU_OUT_OF_RANGE = 103,   /* an integer input that indexes a table lies outside it */
  MORU_NOT_BOUND = 104,      /* an input was not bound */
  MORU_WRONG_STATE = 105,    /* the call is not allowed now, or not on this object */

  MORU_IO_ERROR = 200,
  MORU_FILE_NOT_FOUND = 201,
  MORU_PERMISSION_DENIED = 202,
  MORU_NO_SPACE = 203,

  MORU_CORRUPT = 300,
  MORU_UNSUPPORTED_VERSION = 301,
  MORU_PROGRAM_MISMATCH = 302, /* a checkpoint or library of another program */
  MORU_WRONG_FORMAT = 303,     /* another kind of file */

  MORU_OUT_OF_MEMORY = 400,
  MORU_SIZE_OVERFLOW = 401,
  MORU_THREAD_ERROR = 402,

  MORU_NO_NATIVE_CODE = 500,
  MORU_KERNEL_FAILED = 501,

  MORU_INTERNAL = 900
};

enum moru_dtype { MORU_F32 = 0, MORU_F64 = 1, MORU_I32 = 2, MORU_I64 = 3, MORU_BOOL = 4 };

enum moru_slot_kind {
  MORU_INPUT = 0,
  MORU_TARGET = 1,        /* as input: what an output should be; for training and evaluation */
  MORU_SAMPLE_WEIGHT = 2, /* as input: [batch] */
  MORU_OUTPUT = 3,
  MORU_PARAMETER = 4,
  MORU_OPTIMIZER_STATE = 5,
  MORU_LAYER_STATE = 6,
  MORU_METRIC_STATE = 7,
  MORU_CONTROL = 8,       /* step, seed, learning_rate: scalars */
  MORU_DERIVED = 9
};

/* A size that is not known before inputs are bound (batch, time). */
#define MORU_UNKNOWN_SIZE (-1)
#define MORU_MAX_RANK 32

typedef struct moru_slot_info {
  const char* name;  /* lives as long as the program */
  int32_t kind;      /* enum moru_slot_kind */
  int32_t dtype;     /* enum moru_dtype */
  int32_t trainable; /* 0 or 1 */
  int32_t rank;
  int64_t sizes[MORU_MAX_RANK]; /* MORU_UNKNOWN_SIZE where it depends on what is bound */
} moru_slot_info;

/* A dense row-major tensor. `data` and `shape` belong to the session: valid until its next run, bind or free. */
typedef struct moru_tensor {
  const void* data;
  const int64_t* shape;
  int32_t rank;
  int32_t dtype; /* enum moru_dtype */
} moru_tensor;

/* "1.2.3" */
MORU_API const char* moru_version(void);

/* The MORU_ABI_VERSION of the library that is loaded. */
MORU_API int32_t moru_abi_version(void);

/* The message of the last failed call on this thread, "" if none failed. Valid until the next failure there. */
MORU_API const char* moru_last_error(void);

/* ---- programs ------------------------------------------------------------------------------------------------- */

/* Opens a shared object made by `moru compile`. This runs code of that file: open only what you trust. On failure
 * *program is null. */
MORU_API int32_t moru_program_open(const char* path, moru_program** program);

/* A library that is linked in, with the `.moru` file that it carries. */
MORU_API int32_t moru_program_from_library(const moru_kernel_library* library, moru_program** program);

/* The program in the `.moru` file at `path` (weights saved after training, say) with the code of `library`, which must
 * have been compiled from the same program. Runs no code of the file. */
MORU_API int32_t moru_program_load(const char* path, const moru_kernel_library* library, moru_program** program);

/* Frees the handle; sessions made from it live on. Null is allowed. */
MORU_API void moru_program_free(moru_program* program);

/* Identifies entries, slots, target and compiler version; the same for any weights. 0 if `program` is null. */
MORU_API uint64_t moru_program_hash(const moru_program* program);

/* Slots and entries are numbered from 0. The find functions return -1 where there is none of that name. */
MORU_API int32_t moru_program_slot_count(const moru_program* program);
MORU_API int32_t moru_program_find_slot(const moru_program* program, const char* name);
MORU_API int32_t moru_program_slot_info(const moru_program* program, int32_t slot, moru_slot_info* info);
MORU_API int32_t moru_program_entry_count(const moru_program* program);
MORU_API int32_t moru_program_find_entry(const moru_program* program, const char* name);
MORU_API const char* moru_program_entry_name(const moru_program* program, int32_t entry); /* null if out of range */

/* The slots an entry needs bound (outputs = 0) or writes (outputs = 1): stores at most `capacity` of them and returns
 * how many there are, or -1 if there is no such entry. */
MORU_API int32_t moru_program_entry_slots(const moru_program* program, int32_t entry, int32_t outputs, int32_t* slots,
                                          int32_t capacity);

/* ---- sessions ------------------------------------------------------------------------------------------------- */

/* A session with the program's weights and `threads` threads, the caller's among them. */
MORU_API int32_t moru_session_create(const moru_program* program, int32_t threads, moru_session** session);
MORU_API void moru_session_free(moru_session* session); /* null is allowed */

/* One piece of a parallel loop: `worker` is a number below the pool's size that no other piece has at the same time. */
typedef void (*moru_chunk)(const void* chunk_context, int64_t chunk, int64_t worker);

enum moru_log_level { MORU_LOG_INFO = 0, MORU_LOG_WARNING = 1 };

/* What a session takes from its host. Begin with all zero and `size` set: MORU_SESSION_OPTIONS. */
typedef struct moru_session_options {
  uint64_t size;   /* sizeof(moru_session_options) where the caller was compiled */
  int32_t threads; /* the session's own, the caller's among them; 0 is 1. Not used with `parallel_for` */

  /* The host's threads: calls body(chunk_context, chunk, worker) once for every chunk in [0, chunk_count), worker below
   * `workers`, and returns when all are done. Null: the session's own threads. */
  int32_t workers;
  void (*parallel_for)(void* pool, int64_t chunk_count, moru_chunk body, const void* chunk_context);
  void* pool;

  /* The host's memory for tensors: `bytes`, a multiple of 64, at a multiple of `alignment`; null where there is none.
   * Called while a session is created, run with larger sizes than before, or freed. Null: the heap. */
  void* (*allocate)(void* memory, uint64_t bytes, uint64_t alignment);
  void (*release)(void* memory, void* address, uint64_t bytes);
  void* memory;

  /* Gets one line at a time, at an enum moru_log_level: the session's sizes, memory that grows, inputs that are copied
   * because they are not aligned. Null: nobody listens. */
  void (*log)(void* log_context, int32_t level, const char* message);
  void* log_context;

  /* Predict with this session's parameters, which must be over the same program: the new session cannot train. It keeps
   * the parameters (not the other session) alive; the other one must not train while this one runs. Null: its own. */
  const moru_session* share_parameters_of;
} moru_session_options;

#define MORU_SESSION_OPTIONS {sizeof(moru_session_options), 1, 1, 0, 0, 0, 0, 0, 0, 0, 0}

/* A session that takes memory, threads or parameters from elsewhere. */
MORU_API int32_t moru_session_create_with(const moru_program* program, const moru_session_options* options,
                                          moru_session** session);

/* Gives an input, target or sample weight its data: `rank` sizes, elements of the slot's dtype, dense, row-major. The
 * memory stays the caller's and is read by every run until another is bound. Memory that is 64-byte aligned is used in
 * place, other memory is copied at each run. */
MORU_API int32_t moru_session_bind(moru_session* session, int32_t slot, const void* data, const int64_t* shape,
                                   int32_t rank);

/* Has an output written to the caller's memory of `bytes`; null gives it back to the session. */
MORU_API int32_t moru_session_bind_output(moru_session* session, int32_t slot, void* data, uint64_t bytes);

/* Runs an entry: "predict", "evaluate", "train_step", ..., "reset_states" where layers are stateful: what they keep
 * between calls is 0 again. Checks sizes and index ranges first. Allocates nothing after
 * the first run with the largest sizes. */
MORU_API int32_t moru_session_run(moru_session* session, int32_t entry);

/* What a slot holds: an output after a run; a parameter, state or control at any time. */
MORU_API int32_t moru_session_view(const moru_session* session, int32_t slot, moru_tensor* tensor);

/* Overwrites a parameter, state or control with exactly as many bytes as it has. */
MORU_API int32_t moru_session_assign(moru_session* session, int32_t slot, const void* data, uint64_t bytes);

/* ---- files ---------------------------------------------------------------------------------------------------- */

/* All parameters and state, to go on training later with the same bits. Files are replaced atomically: a crash or a
 * full disk leaves the old file whole. */
MORU_API int32_t moru_session_save_checkpoint(const moru_session* session, const char* path);

/* Puts them back. A checkpoint of another program is refused (MORU_PROGRAM_MISMATCH) unless `allow_other_program` is 1,
 * in which case what fits by name and shape is taken. On failure the session is unchanged. */
MORU_API int32_t moru_session_load_checkpoint(moru_session* session, const char* path, int32_t allow_other_program);

/* The model as a `.moru` file with the session's weights. Only where the program came from a `.moru` file or a library
 * that carries one. */
MORU_API int32_t moru_session_save_model(const moru_session* session, const char* path);

#ifdef __cplusplus
}
#endif
#endif
