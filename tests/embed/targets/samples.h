/* Made-up samples of the model of tools/recipes/bike_lstm.json, the same on every machine, in C and in JavaScript
 * (train.mjs): numbers that a float holds exactly. */
#ifndef MORU_TEST_SAMPLES_H
#define MORU_TEST_SAMPLES_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { batch = 8, steps = 20, features = 24 * 16 };

static uint32_t samples_state = 1;

static float next_sample(void) {
  samples_state = samples_state * 1664525u + 1013904223u;
  return (float)(samples_state >> 16) / 32768.0f - 1.0f;
}

static void make_samples(float* windows, float* targets) {
  for (int i = 0; i < batch * features; ++i) windows[i] = next_sample();
  for (int i = 0; i < batch; ++i) targets[i] = 500.0f * next_sample() + 700.0f;
}

/* The bits, so that what is printed tells equal from nearly equal. */
static void print_numbers(const char* name, const float* numbers, int count) {
  for (int i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, &numbers[i], sizeof bits);
    printf("%s %08x\n", name, (unsigned)bits);
  }
}

#endif
