/* A program with a model inside, and without a file beside it. lstm.h is written together with lstm.o. */
#include <moru/moru.h>
#include <stdio.h>

#include "lstm.h"

int main(void) {
  static float window[24 * 16];
  const int64_t shape[] = {1, 24, 16};
  moru_program* program;
  moru_session* session;
  moru_tensor count;
  if (moru_program_from_library(lstm_kernel_library_get(), &program) != MORU_OK || moru_session_create(program, 1, &session) != MORU_OK ||
      moru_session_bind(session, moru_program_find_slot(program, "window"), window, shape, 3) != MORU_OK ||
      moru_session_run(session, moru_program_find_entry(program, "predict")) != MORU_OK ||
      moru_session_view(session, moru_program_find_slot(program, "count"), &count) != MORU_OK) {
    fprintf(stderr, "error: %s\n", moru_last_error());
    return 1;
  }
  printf("%.9g\n", ((const float*)count.data)[0]);
  return 0;
}
