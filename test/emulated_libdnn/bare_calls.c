// Copyright 2026 mobilenetv2_ros contributors
//
// Licensed under the Apache License, Version 2.0 (the "License");
// you may not use this file except in compliance with the License.
// You may obtain a copy of the License at
//
//     http://www.apache.org/licenses/LICENSE-2.0
//
// Unless required by applicable law or agreed to in writing, software
// distributed under the License is distributed on an "AS IS" BASIS,
// WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
// See the License for the specific language governing permissions and
// limitations under the License.

/*
 * The calls that a frame needs, from C: what the library itself takes of the calling threads' CPU.
 *
 * `benchmark backend` gives the CPU of a frame from Python; the difference is Python's share.
 *
 *   cc -O2 -pthread bare_calls.c -L. -ldnn -o bare_calls
 *   ./bare_calls model.bin threads seconds
 */

#define _GNU_SOURCE

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hb_dnn.h"

enum { MAX_THREADS = 32, TIMEOUT_MS = 10000 };

static void *model;
static atomic_bool stop;

typedef struct {
  pthread_t thread;
  long frames;
  double cpu_seconds;
} Worker;

static void check(const char *function, int32_t code) {
  if (code != 0) {
    fprintf(stderr, "bare_calls: %s failed with %d\n", function, code);
    exit(1);
  }
}
#define CALL(function, ...) check(#function, function(__VA_ARGS__))

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_frame(hbDNNTensor *input, hbDNNTensor *output) {
  hbDNNInferCtrlParam control = {0};
  void *task = NULL;
  CALL(hbSysFlushMem, &input->sysMem[0], CACHE_CLEAN);
  CALL(hbDNNInfer, &task, &output, input, model, &control);
  CALL(hbDNNWaitTaskDone, task, TIMEOUT_MS);
  CALL(hbSysFlushMem, &output->sysMem[0], CACHE_INVALIDATE);
  CALL(hbDNNReleaseTask, task);
}

static void *work(void *argument) {
  Worker *worker = argument;
  hbDNNTensor input, output;
  memset(&input, 0, sizeof input);
  memset(&output, 0, sizeof output);
  CALL(hbDNNGetInputTensorProperties, &input.properties, model, 0);
  CALL(hbDNNGetOutputTensorProperties, &output.properties, model, 0);
  CALL(hbSysAllocCachedMem, &input.sysMem[0], (uint32_t)input.properties.alignedByteSize);
  CALL(hbSysAllocCachedMem, &output.sysMem[0], (uint32_t)output.properties.alignedByteSize);
  memset(input.sysMem[0].virAddr, 128, input.sysMem[0].memSize);
  while (!stop) { /* the clock is read for each frame, as in `benchmark backend` */
    double began = now(CLOCK_THREAD_CPUTIME_ID);
    run_frame(&input, &output);
    worker->cpu_seconds += now(CLOCK_THREAD_CPUTIME_ID) - began;
    worker->frames++;
  }
  return NULL; /* the memory goes with the process */
}

int main(int count, char **arguments) {
  int threads = count == 4 ? atoi(arguments[2]) : 0;
  if (threads < 1 || threads > MAX_THREADS) {
    fprintf(stderr, "usage: bare_calls model.bin threads seconds\n");
    return 2;
  }
  void *packed = NULL;
  const char *file = arguments[1], **names = NULL;
  int32_t name_count = 0;
  CALL(hbDNNInitializeFromFiles, &packed, &file, 1);
  CALL(hbDNNGetModelNameList, &names, &name_count, packed);
  CALL(hbDNNGetModelHandle, &model, packed, names[0]);
  Worker workers[MAX_THREADS] = {0};
  double began = now(CLOCK_MONOTONIC);
  for (int i = 0; i < threads; i++) {
    check("pthread_create", pthread_create(&workers[i].thread, NULL, work, &workers[i]));
  }
  usleep((useconds_t)(atof(arguments[3]) * 1e6));
  stop = true;
  long frames = 0;
  double cpu_seconds = 0;
  for (int i = 0; i < threads; i++) {
    pthread_join(workers[i].thread, NULL);
    frames += workers[i].frames;
    cpu_seconds += workers[i].cpu_seconds;
  }
  printf("the same calls from C, %d threads: %.1f frames/s, CPU %.1f us/frame\n", threads,
         (double)frames / (now(CLOCK_MONOTONIC) - began), cpu_seconds / (double)frames * 1e6);
  return 0;
}
