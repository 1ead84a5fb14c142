/* Loads a compiled LSTM, predicts, learns from new rows, and goes on where it stopped:  keep_learning lstm.so */
#include <moru/moru.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 32, STEPS = 24, FEATURES = 16 };

static int32_t failed(const char* what) { return fprintf(stderr, "error: %s: %s\n", what, moru_last_error()), 1; }

int main(int argc, char** argv) {
  static float window[ROWS * STEPS * FEATURES], count[ROWS];
  const int64_t window_shape[] = {ROWS, STEPS, FEATURES}, count_shape[] = {ROWS, 1};
  moru_program* program;
  moru_session* session;
  moru_tensor tensor;
  if (argc < 3) return fprintf(stderr, "usage: keep_learning MODEL.so CHECKPOINT\n"), 2;
  if (moru_program_open(argv[1], &program) != MORU_OK) return failed(argv[1]);
  if (moru_session_create(program, 1, &session) != MORU_OK) return failed("session");
  if (moru_session_load_checkpoint(session, argv[2], 0) != MORU_OK) printf("starts anew: %s\n", moru_last_error());

  for (int i = 0; i < ROWS * STEPS * FEATURES; ++i) window[i] = (float)(rand() % 2001) / 1000 - 1;
  for (int row = 0; row < ROWS; ++row) count[row] = window[row * STEPS * FEATURES]; /* what there is to learn */

  const int32_t predict = moru_program_find_entry(program, "predict"), train = moru_program_find_entry(program, "train_step");
  const int32_t y = moru_program_find_slot(program, "count"), loss = moru_program_find_slot(program, "loss");
  if (moru_session_bind(session, moru_program_find_slot(program, "window"), window, window_shape, 3) != MORU_OK ||
      moru_session_bind(session, moru_program_find_slot(program, "count/target"), count, count_shape, 2) != MORU_OK)
    return failed("bind");
  for (int step = 0; step <= 100; ++step) {
    if (moru_session_run(session, train) != MORU_OK || moru_session_view(session, loss, &tensor) != MORU_OK) return failed("train");
    if (step % 50 == 0) printf("step %3d  loss %.6f\n", step, ((const float*)tensor.data)[0]);
  }
  if (moru_session_run(session, predict) != MORU_OK || moru_session_view(session, y, &tensor) != MORU_OK) return failed("predict");
  printf("predicts %.3f where it is %.3f\n", ((const float*)tensor.data)[0], count[0]);
  if (moru_session_save_checkpoint(session, argv[2]) != MORU_OK) return failed(argv[2]);
  moru_session_free(session);
  moru_program_free(program);
  return 0;
}
