/* Trains and predicts with a library of `moru compile --standalone --prefix m_`. Prints as train_runtime.c does. */
#include "m.h"
#include "samples.h"

static _Alignas(64) unsigned char arena[M_ARENA_BYTES];
static float windows[batch * features + 1], targets[batch], predictions[batch];

int main(void) {
  float loss;
  if (m_predict(arena, sizeof arena, batch, windows, predictions) != M_WRONG_STATE) return 2;
  if (m_init(arena + 1, sizeof arena - 64) != M_INVALID_ARGUMENT || m_init(arena, 64) != M_OUT_OF_MEMORY) return 2;
  if (m_init(arena, sizeof arena) != M_OK) return 1;
  if (m_train_step(arena, sizeof arena, batch + 1, windows, targets, &loss) != M_OUT_OF_MEMORY ||
      m_predict(arena, sizeof arena, 0, windows, predictions) != M_INVALID_ARGUMENT ||
      m_predict(arena, sizeof arena, INT64_MAX, windows, predictions) != M_INVALID_ARGUMENT ||
      m_predict(arena, sizeof arena, batch, NULL, predictions) != M_INVALID_ARGUMENT ||
      m_arena_bytes(batch) != M_ARENA_BYTES)
    return 2;
  for (int step = 0; step < steps; ++step) {
    /* One element off, so that it is not aligned. */
    make_samples(windows + 1, targets);
    if (m_train_step(arena, sizeof arena, batch, windows + 1, targets, &loss) != M_OK) return 1;
    print_numbers("loss", &loss, 1);
  }
  if (m_predict(arena, sizeof arena, batch, windows + 1, predictions) != M_OK) return 1;
  print_numbers("prediction", predictions, batch);
  /* A short batch, of which nothing is written behind the end. */
  float few[4] = {0, 0, 0, -1};
  if (m_predict(arena, sizeof arena, 3, windows + 1, few) != M_OK || few[3] != -1 || memcmp(few, predictions, sizeof(float[3])) != 0) return 3;
  return 0;
}
