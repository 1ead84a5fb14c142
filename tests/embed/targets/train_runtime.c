/* Trains and predicts with the runtime and the shared object given: what the other machines' numbers are held against. */
#include <moru/moru.h>

#include "samples.h"

static float windows[batch * features], targets[batch];

int main(int argc, char** argv) {
  moru_program* program;
  moru_session* session;
  moru_tensor result;
  const int64_t window_shape[] = {batch, 24, 16}, target_shape[] = {batch, 1};
  if (argc < 2 || moru_program_open(argv[1], &program) != MORU_OK || moru_session_create(program, 1, &session) != MORU_OK ||
      moru_session_bind(session, moru_program_find_slot(program, "window"), windows, window_shape, 3) != MORU_OK ||
      moru_session_bind(session, moru_program_find_slot(program, "count/target"), targets, target_shape, 2) != MORU_OK) {
    fprintf(stderr, "error: %s\n", moru_last_error());
    return 1;
  }
  for (int step = 0; step < steps; ++step) {
    make_samples(windows, targets);
    if (moru_session_run(session, moru_program_find_entry(program, "train_step")) != MORU_OK ||
        moru_session_view(session, moru_program_find_slot(program, "loss"), &result) != MORU_OK)
      return 1;
    print_numbers("loss", result.data, 1);
  }
  if (moru_session_run(session, moru_program_find_entry(program, "predict")) != MORU_OK ||
      moru_session_view(session, moru_program_find_slot(program, "count"), &result) != MORU_OK)
    return 1;
  print_numbers("prediction", result.data, batch);
  return 0;
}
