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
 * An emulated libdnn.so: the C interface of the RDK X5's BPU library, without a BPU. A test tool.
 *
 * It answers through the real binary interface (structures, enumerations, functions, error codes),
 * so a program that opens libdnn cannot tell the difference, and it is stricter than the real one
 * where strictness finds mistakes: memory is never coherent by luck, stale handles are always
 * recognised, and every allocation, task and release is counted.
 *
 * The image of the hardware:
 *
 *   CPU view --CLEAN--> BPU shadow --task--> BPU shadow --INVALIDATE--> CPU view
 *    (input)             (input)              (output)                   (output)
 *
 * One BPU, tasks in order of submission. A task needs `parallel_us` that overlap with other tasks
 * and then `serial_us` of the BPU for itself:
 *
 *   start = max(submitted + parallel_us, end of the task before)       the input is read here
 *   end   = start + serial_us                                          the output is written here
 *
 * The times are kept on an absolute timeline. A thread that wakes late ends a task late, but the
 * next one does not start late because of it, so the throughput is exact on a loaded machine too.
 *
 * A model is a text file, see read_model(). Tests steer and watch the emulator through emu_set(),
 * emu_get(), emu_reset() and emu_set_network(), described where they are defined. Two environment
 * variables do the same for a program that a test only starts: EMULATED_LIBDNN=key=value,key=value
 * is handed to emu_set() at load; EMULATED_LIBDNN_REPORT=path gets every counter at exit.
 *
 *   cc -O2 -fPIC -shared -pthread libdnn.c -o libdnn.so
 */

#define _GNU_SOURCE

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "hb_dnn.h"

#define VERSION "1.0.0-emulated"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the fingerprint reads words as LE");

typedef void (*emu_network)(
  const uint8_t *nv12, int32_t height, int32_t width, float *scores, int32_t classes, void *user);

int emu_set(const char *key, double value);
double emu_get(const char *key);
void emu_reset(void);
void emu_set_network(emu_network network, void *user);

/* -------------------------------------------------------- what tests can set and count */

/* Every function of the interface, with the code it fails with unless fail_code.* says otherwise.
 * `task` is not a function but the work of the BPU itself: a task that runs and fails. A wait that
 * fails has another code than such a task: nobody could tell whether the task still runs. */
#define FUNCTIONS(X) \
  X(hbDNNGetVersion, HB_DNN_RUN_TASK_FAILED) \
  X(hbDNNInitializeFromFiles, HB_DNN_INVALID_MODEL) \
  X(hbDNNRelease, HB_DNN_INVALID_PACKED_DNN_HANDLE) \
  X(hbDNNGetModelNameList, HB_DNN_INVALID_PACKED_DNN_HANDLE) \
  X(hbDNNGetModelHandle, HB_DNN_INVALID_PACKED_DNN_HANDLE) \
  X(hbDNNGetInputCount, HB_DNN_INVALID_DNN_HANDLE) \
  X(hbDNNGetOutputCount, HB_DNN_INVALID_DNN_HANDLE) \
  X(hbDNNGetInputName, HB_DNN_INVALID_DNN_HANDLE) \
  X(hbDNNGetOutputName, HB_DNN_INVALID_DNN_HANDLE) \
  X(hbDNNGetInputTensorProperties, HB_DNN_INVALID_DNN_HANDLE) \
  X(hbDNNGetOutputTensorProperties, HB_DNN_INVALID_DNN_HANDLE) \
  X(hbDNNInfer, HB_DNN_RUN_TASK_FAILED) \
  X(hbDNNWaitTaskDone, HB_DNN_INVALID_TASK_HANDLE) \
  X(hbDNNReleaseTask, HB_DNN_INVALID_TASK_HANDLE) \
  X(hbDNNSetTaskDoneCb, HB_DNN_INVALID_TASK_HANDLE) \
  X(hbSysAllocMem, HB_SYS_OUT_OF_MEMORY) \
  X(hbSysAllocCachedMem, HB_SYS_OUT_OF_MEMORY) \
  X(hbSysFlushMem, HB_SYS_INVALID_ARGUMENT) \
  X(hbSysFreeMem, HB_SYS_INVALID_ARGUMENT) \
  X(task, HB_DNN_RUN_TASK_FAILED)

#define SETTINGS(X) \
  X(parallel_us, 550)      /* of every task, overlaps with the other tasks */ \
  X(serial_us, 868)        /* of every task, the BPU alone: 1.418 ms in all, 1152 per second */ \
  X(slow_us, 0)            /* added to serial_us */ \
  X(task_limit, 32)        /* tasks alive at the same time */ \
  X(memory_limit_bytes, 0) /* all BPU memory together; 0: no limit */ \
  X(busy, 0)               /* 1: hbDNNInfer answers as if all tasks were taken */ \
  X(hang, 0)               /* 1: no task finishes; back to 0: all go on, those of hang_* too */ \
  X(hang_next, 0)          /* that many next tasks hang, the others pass them by */ \
  X(hang_rate, 0)          /* share of the tasks that hang, the others pass them by */ \
  X(nan, 0)                /* share of the tasks whose float output is NaN */ \
  X(inf, 0)                /* share of the tasks whose float output is +infinity */ \
  X(out_of_range, 0)       /* share of the tasks with scores far outside 0..1 */ \
  X(log, 0)                /* 1: a line on standard output for each model file, as the real one */ \
  X(seed, 1)               /* of the random numbers behind every rate and share */

#define COUNTERS(X) \
  X(allocs) X(frees) X(tasks) X(releases) X(max_live_tasks) X(packed_opened) X(packed_released) \
  X(flushes_clean) X(flushes_invalidate) \
  X(inferences)       /* tasks that wrote an output */ \
  X(use_after_free)   /* memory freed while a task that the BPU has not ended uses it */ \
  X(overruns)         /* memory with bytes written behind its end, found when it is freed */ \
  X(evicted_write_after_free)

enum {
#define X(name, code) F_##name,
  FUNCTIONS(X)
#undef X
  FUNCTION_COUNT
};
enum {
#define X(name, standard) S_##name,
  SETTINGS(X)
#undef X
  SETTING_COUNT
};
enum {
#define X(name) C_##name,
  COUNTERS(X)
#undef X
  COUNTER_COUNT
};

typedef struct {
  const char *name;
  int32_t standard_code;
  int32_t fail;      /* fail.<name>: this code from every call; 0: no */
  int32_t fail_code; /* fail_code.<name>: the code of the two below; 0: standard_code */
  double fail_rate;  /* fail_rate.<name>: share of the calls that fail */
  double fail_next;  /* fail_next.<name>: that many next calls fail */
  double calls;      /* calls.<name> */
  double failed;     /* failed.<name>: every answer that was not success */
  double injected;   /* injected.<name>: those of them that a test asked for */
} Function;

static Function functions[FUNCTION_COUNT] = {
#define X(name, code) {#name, code, 0, 0, 0, 0, 0, 0, 0},
  FUNCTIONS(X)
#undef X
};
static const struct {
  const char *name;
  double standard;
} setting_table[SETTING_COUNT] = {
#define X(name, standard) {#name, standard},
  SETTINGS(X)
#undef X
};
static const char *const counter_names[COUNTER_COUNT] = {
#define X(name) #name,
  COUNTERS(X)
#undef X
};

/* ------------------------------------------------------------------------------- state */

enum { MAX_TASKS = 1024, MAX_NAMES = 64, QUARANTINE = 32, GUARD = 64 };
enum { POISON_CPU = 0xCD, POISON_BPU = 0xB5, POISON_FREED = 0xDD, POISON_GUARD = 0xFB };
enum { TAG_PACKED = 0x1000, TAG_MODEL = 0x2000, TAG_TASK = 0x4000 };

typedef struct Block {
  struct Block *next;
  uint64_t physical;
  uint8_t *cpu; /* what the program sees */
  uint8_t *bpu; /* what the BPU sees: the same bytes if the memory is not cached */
  uint32_t size;
  int users;    /* unfinished tasks and flushes */
  bool freed;
} Block;

typedef struct {
  char *name;
  int32_t height, width, input_count, output_count, classes;
  int32_t output_step; /* elements from one class to the next */
  int32_t parallel_us, serial_us; /* -1: as the settings say */
  bool logits, callback;
  hbDNNTensorProperties input, output;
} Model;

typedef struct Packed {
  struct Packed *next;
  uint64_t id;
  int users;      /* the open handle and every unfinished task */
  int live_tasks; /* tasks not released yet */
  bool released;
  int32_t count;
  Model *models;
  const char **names;
} Packed;

typedef struct Task {
  struct Task *next;
  int users; /* the handle, the BPU and everyone who waits */
  int slot;
  hbDNNTaskHandle_t handle;
  pthread_cond_t changed; /* done or released */
  bool done, released, hang_decided, hung;
  int32_t status;
  int64_t submitted;
  Packed *packed;
  const Model *model;
  Block *input[2], *output;
  uint64_t input_offset[2], output_offset;
  int32_t input_stride;
  hbDNNTaskDoneCb callback;
  void *callback_user;
} Task;

/* One lock for everything. It is never held while pixels are read or foreign code runs. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static double settings[SETTING_COUNT];
static double counters[COUNTER_COUNT];
static uint64_t random_state;

static Block *blocks;
static Block *quarantine[QUARANTINE];
static unsigned quarantine_next;
/* Addresses are never given out twice, so a stale hbSysMem is always recognised. */
static uint64_t next_physical = 0x80000000u;
static uint64_t live_bytes;
static int live_blocks;

static Packed *packed_list;
static uint64_t next_packed_id = 1;

static Task *slots[MAX_TASKS];
static int live_tasks;
static uint64_t next_generation = 1;
static Task *queue_head, **queue_tail = &queue_head;
static Task *hung_head;
static Task *running;
static int64_t bpu_free; /* when the BPU is free again, on the timeline */

static pthread_t bpu_thread;
static bool bpu_started, stopping, forked;
static bool in_foreign_code;             /* the BPU thread runs a function of the test */
static pthread_cond_t bpu_work;          /* something to do, or a hang is over */
static pthread_cond_t bpu_interrupt;     /* wake from a sleep on the timeline */
static pthread_cond_t foreign_code_over;
static emu_network network;
static void *network_user;

/* ------------------------------------------------------------------------------- helpers */

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct timespec to_timespec(int64_t ns) {
  struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  return t;
}

static void init_condition(pthread_cond_t *condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

/* splitmix64: good enough, and the same numbers on every machine for the same seed. */
static double random_unit(void) {
  uint64_t z = random_state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return (double)(z >> 11) * 0x1.0p-53;
}

static bool chance(double share) { return share >= 1 || (share > 0 && random_unit() < share); }

/* Count a call and decide whether it has to fail. Called with the lock. */
static int32_t injected_fault(int function) {
  Function *f = &functions[function];
  int32_t code = 0;
  f->calls++;
  if (f->fail != 0) {
    code = f->fail;
  } else if (f->fail_next >= 1) {
    f->fail_next--;
    code = f->fail_code ? f->fail_code : f->standard_code;
  } else if (chance(f->fail_rate)) {
    code = f->fail_code ? f->fail_code : f->standard_code;
  }
  if (code != 0) {
    f->injected++;
    f->failed++;
  }
  return code;
}

static int32_t enter(int function) {
  pthread_mutex_lock(&lock);
  int32_t code = injected_fault(function);
  pthread_mutex_unlock(&lock);
  return code;
}

static int32_t leave(int function, int32_t code) {
  if (code != 0) {
    pthread_mutex_lock(&lock);
    functions[function].failed++;
    pthread_mutex_unlock(&lock);
  }
  return code;
}

/* Every function of the interface: count, fail if a test wants it, else do the work. */
#define ANSWER(name, work) \
  do { \
    int32_t fault_ = enter(F_##name); \
    return fault_ != 0 ? fault_ : leave(F_##name, (work)); \
  } while (0)

/* ------------------------------------------------------------------------------- memory */

static void destroy_block(Block *block) {
  if (block->bpu != block->cpu) {
    free(block->bpu);
  }
  free(block->cpu);
  free(block);
}

static bool is_filled(const uint8_t *bytes, size_t size, uint8_t value) {
  return size == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* A freed block stays in quarantine for a while, so that a program that still reads it gets
 * poison instead of somebody else's bytes, and a program that still writes it is found out. */
static void retire_block(Block *block) {
  memset(block->cpu, POISON_FREED, (size_t)block->size + GUARD);
  Block **place = &quarantine[quarantine_next++ % QUARANTINE];
  if (*place != NULL) {
    if (!is_filled((*place)->cpu, (size_t)(*place)->size + GUARD, POISON_FREED)) {
      counters[C_evicted_write_after_free]++;
    }
    destroy_block(*place);
  }
  *place = block;
}

static void unuse_block(Block *block) {
  if (--block->users == 0 && block->freed) {
    retire_block(block);
  }
}

/* The block that a description points into, if all of it is really there. A description may point
 * into the middle of a block (both planes of an image in one allocation), but its two addresses
 * have to agree: the CPU works with one, the BPU with the other. */
static Block *find_block(const hbSysMem *mem, uint64_t needed, uint64_t *offset) {
  for (Block *block = blocks; block != NULL; block = block->next) {
    if (mem->phyAddr >= block->physical && mem->phyAddr - block->physical < block->size) {
      *offset = mem->phyAddr - block->physical;
      bool fits = needed <= block->size - *offset && needed <= mem->memSize;
      return fits && (uint8_t *)mem->virAddr == block->cpu + *offset ? block : NULL;
    }
  }
  return NULL;
}

static int32_t allocate(hbSysMem *mem, uint32_t size, bool cached) {
  if (mem == NULL || size == 0) {
    return HB_SYS_INVALID_ARGUMENT;
  }
  Block *block = calloc(1, sizeof *block);
  void *cpu = NULL;
  void *bpu = NULL;
  if (block == NULL || posix_memalign(&cpu, 64, (size_t)size + GUARD) != 0 ||
      (cached && posix_memalign(&bpu, 64, size) != 0)) {
    free(block);
    free(cpu);
    return HB_SYS_OUT_OF_MEMORY;
  }
  /* Different bytes on both sides: what was never flushed never looks right. */
  memset(cpu, POISON_CPU, size);
  memset((uint8_t *)cpu + size, POISON_GUARD, GUARD);
  if (cached) {
    memset(bpu, POISON_BPU, size);
  }
  block->cpu = cpu;
  block->bpu = cached ? bpu : cpu;
  block->size = size;
  pthread_mutex_lock(&lock);
  double limit = settings[S_memory_limit_bytes];
  if (limit > 0 && (double)(live_bytes + size) > limit) {
    pthread_mutex_unlock(&lock);
    destroy_block(block);
    return HB_SYS_OUT_OF_MEMORY;
  }
  block->physical = next_physical;
  next_physical += ((uint64_t)size + 0x1FFF) & ~(uint64_t)0xFFF; /* with an empty page between */
  block->next = blocks;
  blocks = block;
  live_bytes += size;
  live_blocks++;
  counters[C_allocs]++;
  mem->phyAddr = block->physical;
  mem->virAddr = block->cpu;
  mem->memSize = size;
  pthread_mutex_unlock(&lock);
  return 0;
}

int32_t hbSysAllocMem(hbSysMem *mem, uint32_t size) {
  ANSWER(hbSysAllocMem, allocate(mem, size, false));
}

int32_t hbSysAllocCachedMem(hbSysMem *mem, uint32_t size) {
  ANSWER(hbSysAllocCachedMem, allocate(mem, size, true));
}

static int32_t flush(const hbSysMem *mem, int32_t flag) {
  if (mem == NULL || mem->memSize == 0 || (flag != CACHE_CLEAN && flag != CACHE_INVALIDATE)) {
    return HB_SYS_INVALID_ARGUMENT;
  }
  uint64_t offset = 0;
  pthread_mutex_lock(&lock);
  Block *block = find_block(mem, mem->memSize, &offset);
  if (block == NULL) {
    pthread_mutex_unlock(&lock);
    return HB_SYS_INVALID_ARGUMENT;
  }
  counters[flag == CACHE_CLEAN ? C_flushes_clean : C_flushes_invalidate]++;
  block->users++;
  pthread_mutex_unlock(&lock);
  if (block->bpu != block->cpu) {
    if (flag == CACHE_CLEAN) {
      memcpy(block->bpu + offset, block->cpu + offset, mem->memSize);
    } else {
      memcpy(block->cpu + offset, block->bpu + offset, mem->memSize);
    }
  }
  pthread_mutex_lock(&lock);
  unuse_block(block);
  pthread_mutex_unlock(&lock);
  return 0;
}

int32_t hbSysFlushMem(hbSysMem *mem, int32_t flag) { ANSWER(hbSysFlushMem, flush(mem, flag)); }

static int32_t free_memory(const hbSysMem *mem) {
  if (mem == NULL) {
    return HB_SYS_INVALID_ARGUMENT;
  }
  pthread_mutex_lock(&lock);
  Block **link = &blocks;
  while (*link != NULL &&
         ((*link)->physical != mem->phyAddr || (*link)->cpu != (uint8_t *)mem->virAddr)) {
    link = &(*link)->next;
  }
  Block *block = *link;
  if (block == NULL) {
    pthread_mutex_unlock(&lock);
    return HB_SYS_INVALID_ARGUMENT;
  }
  *link = block->next;
  live_bytes -= block->size;
  live_blocks--;
  counters[C_frees]++;
  if (!is_filled(block->cpu + block->size, GUARD, POISON_GUARD)) {
    counters[C_overruns]++;
  }
  block->freed = true;
  if (block->users > 0) {
    counters[C_use_after_free]++; /* the BPU keeps its side until the task has ended */
    memset(block->cpu, POISON_FREED, block->size);
  } else {
    retire_block(block);
  }
  pthread_mutex_unlock(&lock);
  return 0;
}

int32_t hbSysFreeMem(hbSysMem *mem) { ANSWER(hbSysFreeMem, free_memory(mem)); }

/* ------------------------------------------------------------------------------- models */

typedef struct {
  const char *name;
  int32_t value;
} Choice;

/* Only the two NV12 types can be run. The others can be opened, to see a program refuse them. */
static const Choice input_types[] = {{"nv12", TYPE_NV12}, {"nv12_separate", TYPE_NV12_SEPARATE},
                                     {"y", TYPE_Y},       {"yuv444", TYPE_YUV444},
                                     {"rgb", TYPE_RGB},   {"bgr", TYPE_BGR},
                                     {NULL, 0}};
static const Choice output_types[] = {{"f32", TYPE_F32}, {"f16", TYPE_F16}, {"s8", TYPE_S8},
                                      {"u8", TYPE_U8},   {"s16", TYPE_S16}, {"s32", TYPE_S32},
                                      {NULL, 0}};
static const Choice quanti_types[] = {
  {"none", QUANTI_NONE}, {"scale", QUANTI_SCALE}, {"shift", QUANTI_SHIFT}, {NULL, 0}};
static const Choice layouts[] = {{"nchw", LAYOUT_NCHW}, {"nhwc", LAYOUT_NHWC}, {NULL, 0}};
static const Choice networks[] = {{"fingerprint", 0}, {"callback", 1}, {NULL, 0}};

static bool choose(const Choice *choices, const char *text, int32_t *value) {
  for (; choices->name != NULL; choices++) {
    if (strcmp(choices->name, text) == 0) {
      *value = choices->value;
      return true;
    }
  }
  return false;
}

static bool parse_number(const char *text, double *value) {
  char *end;
  *value = strtod(text, &end);
  return end != text && *end == '\0' && isfinite(*value);
}

static bool parse_int(const char *text, int32_t low, int32_t high, int32_t *value) {
  double number;
  if (!parse_number(text, &number) || number < low || number > high ||
      number != (double)(int32_t)number) {
    return false;
  }
  *value = (int32_t)number;
  return true;
}

/* What a model file says. The defaults are the properties of mobilenetv2_224x224_nv12.bin. */
typedef struct {
  char names[256];
  int32_t height, width, input_type, input_aligned_width, input_count, output_count;
  int32_t output_type, output_layout, quanti, shift, zero_point, per_channel;
  int32_t classes, aligned_classes, output_aligned_width, logits, callback;
  int32_t parallel_us, serial_us;
  double scale;
  bool has_zero_point;
} Description;

static bool read_line(Description *d, char *line) {
  char *value = strchr(line, '=');
  if (value == NULL) {
    return false;
  }
  *value++ = '\0';
#define IS(key) (strcmp(line, key) == 0)
  if (IS("name")) {
    snprintf(d->names, sizeof d->names, "%s", value);
    return strlen(value) < sizeof d->names;
  }
  if (IS("height")) return parse_int(value, 2, 8192, &d->height);
  if (IS("width")) return parse_int(value, 2, 8192, &d->width);
  if (IS("input_type")) return choose(input_types, value, &d->input_type);
  if (IS("input_aligned_width")) return parse_int(value, 2, 16384, &d->input_aligned_width);
  if (IS("input_count")) return parse_int(value, 0, 8, &d->input_count);
  if (IS("output_count")) return parse_int(value, 0, 8, &d->output_count);
  if (IS("output_type")) return choose(output_types, value, &d->output_type);
  if (IS("output_layout")) return choose(layouts, value, &d->output_layout);
  if (IS("output_aligned_width")) return parse_int(value, 1, 256, &d->output_aligned_width);
  if (IS("quanti")) return choose(quanti_types, value, &d->quanti);
  if (IS("scale")) return parse_number(value, &d->scale) && d->scale > 0;
  if (IS("shift")) return parse_int(value, 0, 31, &d->shift);
  if (IS("per_channel")) return parse_int(value, 0, 1, &d->per_channel);
  if (IS("classes")) return parse_int(value, 2, 100000, &d->classes);
  if (IS("aligned_classes")) return parse_int(value, 2, 200000, &d->aligned_classes);
  if (IS("logits")) return parse_int(value, 0, 1, &d->logits);
  if (IS("parallel_us")) return parse_int(value, 0, 1000000, &d->parallel_us);
  if (IS("serial_us")) return parse_int(value, 0, 1000000, &d->serial_us);
  if (IS("network")) return choose(networks, value, &d->callback);
  if (IS("zero_point")) {
    d->has_zero_point = true;
    return parse_int(value, -128, 127, &d->zero_point);
  }
#undef IS
  return false;
}

/* A model file: text, first line `EMULATED-LIBDNN-MODEL 1`, then key=value lines, # comments.
 *
 *   name                 of the model; several, with commas between, make a packed file
 *   height, width        even, pixels
 *   input_type           nv12 | nv12_separate to run, y | yuv444 | rgb | bgr to be refused
 *   input_aligned_width  bytes from row to row that the model proposes, by default its width; what
 *                        is no multiple of 16 cannot be run before the program has replaced it
 *   output_type          f32 | f16 | s8 | u8 | s16 | s32
 *   output_layout        nchw (1xCx1x1) | nhwc (1x1x1xC)
 *   quanti               none | scale: (q - zero_point) * scale | shift: q / 2^shift; on f32 and
 *                        f16 a leftover that says nothing about the values
 *   scale, zero_point, shift
 *   per_channel          1: one scale per class, scale * (1 + class % 4 / 8); or one shift per
 *                        class, shift - class % 2
 *   classes              of the network; aligned_classes >= classes are in the memory, and
 *   output_aligned_width elements lie from one class to the next (nchw only)
 *   logits               0: the output is probabilities | 1: their natural logarithms
 *   network              fingerprint | callback (emu_set_network)
 *   parallel_us, serial_us   its timing, instead of the settings of these names
 *   input_count, output_count   1; other numbers to be refused
 *
 * A file that is not a model at all is invalid; one of another version is incompatible, as a model
 * for another chip would be. */
static int32_t read_model(const char *path, Description *d) {
  char line[512];
  memset(d, 0, sizeof *d);
  strcpy(d->names, "mobilenetv2_224x224_nv12");
  d->height = d->width = 224;
  d->input_type = TYPE_NV12;
  d->input_count = d->output_count = 1;
  d->output_type = TYPE_F32;
  d->output_layout = LAYOUT_NCHW;
  d->output_aligned_width = 1;
  d->scale = 1;
  d->classes = 1000;
  d->parallel_us = d->serial_us = -1;

  FILE *file = path == NULL ? NULL : fopen(path, "rb");
  if (file == NULL) {
    return HB_DNN_CAN_NOT_OPEN_FILE;
  }
  int32_t code = 0;
  if (fgets(line, sizeof line, file) == NULL) {
    code = ferror(file) ? HB_DNN_CAN_NOT_OPEN_FILE : HB_DNN_INVALID_MODEL; /* a folder: error */
  } else {
    const char *title = "EMULATED-LIBDNN-MODEL ";
    line[strcspn(line, "\r\n")] = '\0';
    if (strncmp(line, title, strlen(title)) != 0) {
      code = HB_DNN_INVALID_MODEL;
    } else if (strcmp(line + strlen(title), "1") != 0) {
      code = HB_DNN_INCOMPATIBLE_MODEL;
    }
  }
  while (code == 0 && fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] != '\0' && line[0] != '#' && !read_line(d, line)) {
      code = HB_DNN_INVALID_MODEL;
    }
  }
  fclose(file);
  if (code != 0) {
    return code;
  }
  if (d->input_aligned_width == 0) {
    d->input_aligned_width = d->width;
  }
  if (d->aligned_classes == 0) {
    d->aligned_classes = d->classes;
  }
  bool sound = d->names[0] != '\0' && d->height % 2 == 0 && d->width % 2 == 0 &&
               d->input_aligned_width >= d->width && d->input_aligned_width % 2 == 0 &&
               d->aligned_classes >= d->classes &&
               (d->output_layout == LAYOUT_NCHW || d->output_aligned_width == 1);
  return sound ? 0 : HB_DNN_INVALID_MODEL;
}

static hbDNNTensorShape shape4(int32_t a, int32_t b, int32_t c, int32_t d) {
  hbDNNTensorShape shape = {.dimensionSize = {a, b, c, d}, .numDimensions = 4};
  return shape;
}

static int32_t element_size(int32_t type) {
  switch (type) {
    case TYPE_S8:
    case TYPE_U8:
      return 1;
    case TYPE_F16:
    case TYPE_S16:
      return 2;
    default:
      return 4;
  }
}

static void free_model(Model *model) {
  free(model->name);
  free(model->output.scale.scaleData);
  free(model->output.scale.zeroPointData);
  free(model->output.shift.shiftData);
}

static bool make_model(Model *model, const Description *d, const char *name, size_t length) {
  memset(model, 0, sizeof *model);
  model->name = strndup(name, length);
  model->height = d->height;
  model->width = d->width;
  model->input_count = d->input_count;
  model->output_count = d->output_count;
  model->classes = d->classes;
  model->output_step = d->output_aligned_width;
  model->parallel_us = d->parallel_us;
  model->serial_us = d->serial_us;
  model->logits = d->logits;
  model->callback = d->callback;

  hbDNNTensorProperties *input = &model->input;
  input->validShape = shape4(1, 3, d->height, d->width);
  input->alignedShape = shape4(1, 3, d->height, d->input_aligned_width);
  input->tensorLayout = LAYOUT_NCHW;
  input->tensorType = d->input_type;
  int32_t area = d->input_aligned_width * d->height;
  input->alignedByteSize = d->input_type == TYPE_Y      ? area
                           : d->input_type > TYPE_NV12_SEPARATE ? area * 3
                                                        : area * 3 / 2;

  hbDNNTensorProperties *output = &model->output;
  if (d->output_layout == LAYOUT_NCHW) {
    output->validShape = shape4(1, d->classes, 1, 1);
    output->alignedShape = shape4(1, d->aligned_classes, 1, d->output_aligned_width);
  } else {
    output->validShape = shape4(1, 1, 1, d->classes);
    output->alignedShape = shape4(1, 1, 1, d->aligned_classes);
  }
  output->tensorLayout = d->output_layout;
  output->tensorType = d->output_type;
  output->quantiType = d->quanti;
  output->quantizeAxis = d->output_layout == LAYOUT_NCHW ? 1 : 3;
  int32_t bytes = element_size(d->output_type);
  for (int i = 3; i >= 0; i--) {
    output->stride[i] = bytes;
    bytes *= output->alignedShape.dimensionSize[i];
  }
  output->alignedByteSize = bytes;

  int32_t count = d->per_channel ? d->classes : 1;
  bool complete = model->name != NULL;
  if (d->quanti == QUANTI_SCALE) {
    hbDNNQuantiScale *scale = &output->scale;
    scale->scaleLen = count;
    scale->scaleData = malloc((size_t)count * sizeof *scale->scaleData);
    complete = complete && scale->scaleData != NULL;
    for (int32_t i = 0; complete && i < count; i++) {
      scale->scaleData[i] = (float)(d->scale * (1 + i % 4 / 8.0));
    }
    if (d->has_zero_point) {
      scale->zeroPointLen = count;
      scale->zeroPointData = malloc((size_t)count);
      complete = complete && scale->zeroPointData != NULL;
      if (complete) {
        memset(scale->zeroPointData, d->zero_point, (size_t)count);
      }
    }
  } else if (d->quanti == QUANTI_SHIFT) {
    output->shift.shiftLen = count;
    output->shift.shiftData = malloc((size_t)count);
    complete = complete && output->shift.shiftData != NULL;
    for (int32_t i = 0; complete && i < count; i++) {
      output->shift.shiftData[i] = (uint8_t)(d->shift > i % 2 ? d->shift - i % 2 : 0);
    }
  }
  return complete;
}

static void unuse_packed(Packed *packed) {
  if (--packed->users > 0) {
    return;
  }
  for (int32_t i = 0; i < packed->count; i++) {
    free_model(&packed->models[i]);
  }
  free(packed->models);
  free(packed->names);
  free(packed);
}

/* Handles look like pointers and are none: a number that is never given out twice, and a tag. */
static void *make_handle(uint64_t number, int tag, int index) {
  return (void *)(uintptr_t)(number << 16 | (unsigned)tag | (unsigned)index);
}

static Packed *find_packed(const void *handle, int tag, int *index) {
  uintptr_t bits = (uintptr_t)handle;
  if ((bits & 0xF000) != (unsigned)tag) {
    return NULL;
  }
  for (Packed *packed = packed_list; packed != NULL; packed = packed->next) {
    if (packed->id == bits >> 16) {
      *index = (int)(bits & 0xFFF);
      return packed;
    }
  }
  return NULL;
}

static const Model *find_model(const void *handle, Packed **packed) {
  int index = 0;
  *packed = find_packed(handle, TAG_MODEL, &index);
  return *packed != NULL && index < (*packed)->count ? &(*packed)->models[index] : NULL;
}

static int32_t open_files(hbPackedDNNHandle_t *handle, const char **files, int32_t count) {
  if (handle == NULL || files == NULL || count <= 0) {
    return HB_DNN_INVALID_ARGUMENT;
  }
  Packed *packed = calloc(1, sizeof *packed);
  if (packed == NULL) {
    return HB_DNN_OUT_OF_MEMORY;
  }
  packed->users = 1;
  packed->models = calloc(MAX_NAMES, sizeof *packed->models);
  packed->names = calloc(MAX_NAMES, sizeof *packed->names);
  int32_t code = packed->models == NULL || packed->names == NULL ? HB_DNN_OUT_OF_MEMORY : 0;
  for (int32_t i = 0; code == 0 && i < count; i++) {
    Description description;
    code = read_model(files[i], &description);
    for (const char *name = description.names; code == 0 && *name != '\0';) {
      size_t length = strcspn(name, ",");
      if (packed->count == MAX_NAMES || length == 0) {
        code = HB_DNN_INVALID_MODEL;
        break;
      }
      Model *model = &packed->models[packed->count++];
      if (!make_model(model, &description, name, length)) {
        code = HB_DNN_OUT_OF_MEMORY;
      }
      packed->names[packed->count - 1] = model->name;
      name += length;
      name += *name == ',';
    }
  }
  if (code != 0) {
    unuse_packed(packed);
    return code;
  }
  pthread_mutex_lock(&lock);
  packed->id = next_packed_id++;
  packed->next = packed_list;
  packed_list = packed;
  counters[C_packed_opened]++;
  *handle = make_handle(packed->id, TAG_PACKED, 0);
  pthread_mutex_unlock(&lock);
  if (settings[S_log] != 0) {
    printf("[DNN] Runtime version = " VERSION "\n");
  }
  return 0;
}

int32_t hbDNNInitializeFromFiles(hbPackedDNNHandle_t *packed, const char **files, int32_t count) {
  ANSWER(hbDNNInitializeFromFiles, open_files(packed, files, count));
}

static int32_t release_packed(const void *handle) {
  int index = 0;
  int32_t code = 0;
  pthread_mutex_lock(&lock);
  Packed *packed = find_packed(handle, TAG_PACKED, &index);
  if (packed == NULL) {
    code = HB_DNN_INVALID_PACKED_DNN_HANDLE;
  } else if (packed->live_tasks > 0) {
    code = HB_DNN_MODEL_IS_RUNNING;
  } else {
    Packed **link = &packed_list;
    while (*link != packed) {
      link = &(*link)->next;
    }
    *link = packed->next;
    counters[C_packed_released]++;
    unuse_packed(packed);
  }
  pthread_mutex_unlock(&lock);
  return code;
}

int32_t hbDNNRelease(hbPackedDNNHandle_t packed) { ANSWER(hbDNNRelease, release_packed(packed)); }

static int32_t name_list(const char ***names, int32_t *count, const void *handle) {
  if (names == NULL || count == NULL) {
    return HB_DNN_INVALID_ARGUMENT;
  }
  int index = 0;
  pthread_mutex_lock(&lock);
  Packed *packed = find_packed(handle, TAG_PACKED, &index);
  if (packed != NULL) {
    *names = packed->names;
    *count = packed->count;
  }
  pthread_mutex_unlock(&lock);
  return packed != NULL ? 0 : HB_DNN_INVALID_PACKED_DNN_HANDLE;
}

int32_t hbDNNGetModelNameList(const char ***names, int32_t *count, hbPackedDNNHandle_t packed) {
  ANSWER(hbDNNGetModelNameList, name_list(names, count, packed));
}

static int32_t model_handle(hbDNNHandle_t *model, const void *handle, const char *name) {
  if (model == NULL || name == NULL) {
    return HB_DNN_INVALID_ARGUMENT;
  }
  int index = 0;
  int32_t code = HB_DNN_INVALID_PACKED_DNN_HANDLE;
  pthread_mutex_lock(&lock);
  Packed *packed = find_packed(handle, TAG_PACKED, &index);
  if (packed != NULL) {
    code = HB_DNN_INVALID_ARGUMENT;
    for (int32_t i = 0; i < packed->count; i++) {
      if (strcmp(packed->names[i], name) == 0) {
        *model = make_handle(packed->id, TAG_MODEL, i);
        code = 0;
        break;
      }
    }
  }
  pthread_mutex_unlock(&lock);
  return code;
}

int32_t hbDNNGetModelHandle(hbDNNHandle_t *model, hbPackedDNNHandle_t packed, const char *name) {
  ANSWER(hbDNNGetModelHandle, model_handle(model, packed, name));
}

enum { INPUT, OUTPUT };

/* Everything one can ask about an input or output; what is NULL is not asked. */
static int32_t ask(
  const void *handle, int side, int32_t index, int32_t *count, const char **name,
  hbDNNTensorProperties *properties) {
  if (count == NULL && name == NULL && properties == NULL) {
    return HB_DNN_INVALID_ARGUMENT;
  }
  static const char *const names[] = {"data", "prob"};
  int32_t code = 0;
  Packed *packed;
  pthread_mutex_lock(&lock);
  const Model *model = find_model(handle, &packed);
  if (model == NULL) {
    code = HB_DNN_INVALID_DNN_HANDLE;
  } else {
    int32_t available = side == INPUT ? model->input_count : model->output_count;
    if (count != NULL) {
      *count = available;
    } else if (index < 0 || index >= available) {
      code = HB_DNN_INVALID_ARGUMENT;
    } else if (name != NULL) {
      *name = names[side];
    } else {
      *properties = side == INPUT ? model->input : model->output;
    }
  }
  pthread_mutex_unlock(&lock);
  return code;
}

int32_t hbDNNGetInputCount(int32_t *count, hbDNNHandle_t model) {
  ANSWER(hbDNNGetInputCount, ask(model, INPUT, 0, count, NULL, NULL));
}

int32_t hbDNNGetOutputCount(int32_t *count, hbDNNHandle_t model) {
  ANSWER(hbDNNGetOutputCount, ask(model, OUTPUT, 0, count, NULL, NULL));
}

int32_t hbDNNGetInputName(const char **name, hbDNNHandle_t model, int32_t index) {
  ANSWER(hbDNNGetInputName, ask(model, INPUT, index, NULL, name, NULL));
}

int32_t hbDNNGetOutputName(const char **name, hbDNNHandle_t model, int32_t index) {
  ANSWER(hbDNNGetOutputName, ask(model, OUTPUT, index, NULL, name, NULL));
}

int32_t hbDNNGetInputTensorProperties(
  hbDNNTensorProperties *properties, hbDNNHandle_t model, int32_t index) {
  ANSWER(hbDNNGetInputTensorProperties, ask(model, INPUT, index, NULL, NULL, properties));
}

int32_t hbDNNGetOutputTensorProperties(
  hbDNNTensorProperties *properties, hbDNNHandle_t model, int32_t index) {
  ANSWER(hbDNNGetOutputTensorProperties, ask(model, OUTPUT, index, NULL, NULL, properties));
}

const char *hbDNNGetVersion(void) {
  return enter(F_hbDNNGetVersion) != 0 ? NULL : VERSION;
}

const char *hbDNNGetErrorDesc(int32_t code) {
  static const struct {
    int32_t code;
    const char *text;
  } texts[] = {
    {HB_DNN_INVALID_MODEL, "Invalid model"},
    {HB_DNN_TIMEOUT, "Timeout"},
    {HB_DNN_RUN_TASK_FAILED, "Run task failed"},
    {HB_SYS_OUT_OF_MEMORY, "Out of memory"}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (texts[i].code == code) {
      return texts[i].text;
    }
  }
  return code == 0 ? "Success" : NULL; /* a program has to bear one that it has no words for */
}

/* ------------------------------------------------------------------------------- networks */

/* The image as a number. Words are 8 bytes of a row, little endian, the last one of a row filled
 * up with zeros; rows are those of the Y plane, then those of the UV plane, each `width` bytes.
 * With j counting the words of the whole image from 0, everything modulo 2^64:
 *
 *   m_j   = (word_j ^ word_j >> 32) * (j * 0x9E3779B97F4A7C15 | 1)
 *   hash  = sum of all m_j;   hash *= 0xD6E8FEB86659FD93;   hash ^= hash >> 32
 *   class = hash % classes
 *
 * A sum, so that numpy can do it too; every m_j is a one-to-one function of its word, so that one
 * changed byte always changes the hash, and it matters where a word is. Row stride and separate
 * planes make no difference. */
static const uint64_t FINGERPRINT_STEP = 0x9E3779B97F4A7C15u;
static const uint64_t FINGERPRINT_FACTOR = 0xD6E8FEB86659FD93u;

static void add_rows(
  uint64_t *sum, uint64_t *position, const uint8_t *rows, int32_t count, int32_t width,
  int32_t stride) {
  uint64_t s = *sum;
  uint64_t p = *position;
  for (int32_t i = 0; i < count; i++) {
    const uint8_t *row = rows + (size_t)i * (size_t)stride;
    for (int32_t x = 0; x < width; x += 8) {
      uint64_t m = 0;
      memcpy(&m, row + x, width - x < 8 ? (size_t)(width - x) : 8);
      s += (m ^ m >> 32) * (p | 1);
      p += FINGERPRINT_STEP;
    }
  }
  *sum = s;
  *position = p;
}

static void fingerprint(
  const uint8_t *y, const uint8_t *uv, int32_t height, int32_t width, int32_t stride,
  float *scores, int32_t classes) {
  uint64_t hash = 0;
  uint64_t position = 0;
  add_rows(&hash, &position, y, height, width, stride);
  add_rows(&hash, &position, uv, height / 2, width, stride);
  hash *= FINGERPRINT_FACTOR;
  hash ^= hash >> 32;
  float rest = 0.1f / (float)(classes - 1);
  for (int32_t i = 0; i < classes; i++) {
    scores[i] = rest;
  }
  scores[hash % (uint64_t)classes] = 0.9f;
}

/* The natural logarithm, so that the library needs no libm: x = m * 2^e, ln m by its series in
 * (m - 1) / (m + 1). Zero, as a network's probability may be, becomes ln 1e-12. */
static double natural_logarithm(double x) {
  uint64_t bits;
  x = x > 1e-12 ? x : 1e-12;
  memcpy(&bits, &x, sizeof bits);
  int exponent = (int)(bits >> 52 & 0x7FF) - 1023;
  bits = (bits & 0xFFFFFFFFFFFFFu) | (uint64_t)1023 << 52;
  memcpy(&x, &bits, sizeof x);
  double t = (x - 1) / (x + 1);
  double power = t;
  double sum = 0;
  for (int n = 1; n < 40; n += 2) {
    sum += power / n;
    power *= t * t;
  }
  return 2 * sum + exponent * 0.69314718055994530942;
}

/* Single to half precision, to the nearest, ties to even, as hardware does it. */
static uint16_t to_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint32_t sign = bits >> 16 & 0x8000;
  bits &= 0x7FFFFFFF;
  if (bits > 0x7F800000) return (uint16_t)(sign | 0x7E00);  /* NaN */
  if (bits >= 0x477FF000) return (uint16_t)(sign | 0x7C00); /* infinity, and what rounds to it */
  if (bits >= 0x38800000) {                                 /* normal */
    bits += 0xFFF + (bits >> 13 & 1);
    return (uint16_t)(sign | ((bits - 0x38000000) >> 13));
  }
  if (bits < 0x33000000) return (uint16_t)sign; /* less than half of the smallest */
  uint32_t shift = 126 - (bits >> 23);          /* subnormal */
  uint32_t mantissa = (bits & 0x7FFFFF) | 0x800000;
  uint32_t half = mantissa >> shift;
  uint32_t rest = mantissa & ((1u << shift) - 1);
  uint32_t middle = 1u << (shift - 1);
  half += rest > middle || (rest == middle && (half & 1));
  return (uint16_t)(sign | half);
}

static int64_t round_to(double value, int64_t low, int64_t high) {
  if (!(value > (double)low)) return low;
  if (value > (double)high) return high;
  return (int64_t)(value + (value < 0 ? -0.5 : 0.5));
}

enum { SOUND, ALL_NAN, ALL_INF, OUT_OF_RANGE };

static bool is_float(int32_t type) { return type == TYPE_F32 || type == TYPE_F16; }

static void put_element(const Model *model, uint8_t *place, int32_t channel, double value) {
  const hbDNNTensorProperties *p = &model->output;
  if (is_float(p->tensorType)) {
    /* already dequantised, whatever factors are listed */
  } else if (p->quantiType == QUANTI_SCALE) {
    int32_t i = p->scale.scaleLen > 1 ? channel : 0;
    value /= (double)p->scale.scaleData[i];
    value += p->scale.zeroPointLen > 0 ? p->scale.zeroPointData[i] : 0;
  } else if (p->quantiType == QUANTI_SHIFT) {
    int32_t i = p->shift.shiftLen > 1 ? channel : 0;
    value *= (double)(1u << p->shift.shiftData[i]);
  }
  float single = (float)value;
  uint16_t half;
  int16_t s16;
  int32_t s32;
  switch (p->tensorType) {
    case TYPE_S8:
      *place = (uint8_t)(int8_t)round_to(value, INT8_MIN, INT8_MAX);
      break;
    case TYPE_U8:
      *place = (uint8_t)round_to(value, 0, UINT8_MAX);
      break;
    case TYPE_F16:
      half = to_half(single);
      memcpy(place, &half, sizeof half);
      break;
    case TYPE_S16:
      s16 = (int16_t)round_to(value, INT16_MIN, INT16_MAX);
      memcpy(place, &s16, sizeof s16);
      break;
    case TYPE_S32:
      s32 = (int32_t)round_to(value, INT32_MIN, INT32_MAX);
      memcpy(place, &s32, sizeof s32);
      break;
    default:
      memcpy(place, &single, sizeof single);
      break;
  }
}

/* Scores as the bytes that the BPU writes. The padding is more probable than any class, so that a
 * program that ranks it is found out. */
static void encode(const Model *model, const float *scores, int fault, uint8_t *bytes) {
  int32_t size = element_size(model->output.tensorType);
  int32_t elements = model->output.alignedByteSize / size;
  for (int32_t i = 0; i < elements; i++) {
    int32_t channel = i / model->output_step;
    uint8_t *place = bytes + (size_t)i * (size_t)size;
    if (channel >= model->classes || i % model->output_step != 0) {
      put_element(model, place, 0, 1000);
      continue;
    }
    double value = (double)scores[channel];
    value = model->logits ? natural_logarithm(value) : value;
    if (fault == OUT_OF_RANGE) {
      value = channel % 2 == 0 ? 1e6 : -1e6;
    } else if (fault == ALL_NAN && is_float(model->output.tensorType)) {
      value = (double)NAN;
    } else if (fault == ALL_INF && is_float(model->output.tensorType)) {
      value = (double)INFINITY;
    }
    put_element(model, place, channel, value);
  }
}

/* ------------------------------------------------------------------------------- the BPU */

static void unuse_task(Task *task) {
  if (--task->users == 0) {
    pthread_cond_destroy(&task->changed);
    free(task);
  }
}

static void enqueue(Task *task) {
  task->next = NULL;
  *queue_tail = task;
  queue_tail = &task->next;
}

static Task *dequeue(void) {
  Task *task = queue_head;
  if (task != NULL) {
    queue_head = task->next;
    if (queue_head == NULL) {
      queue_tail = &queue_head;
    }
  }
  return task;
}

/* The BPU lets go of a task: with its result, or without one if nobody wants it any more. */
static void end_task(Task *task, int32_t status) {
  task->status = status;
  task->done = true;
  unuse_block(task->input[0]);
  if (task->input[1] != NULL) {
    unuse_block(task->input[1]);
  }
  unuse_block(task->output);
  unuse_packed(task->packed);
  hbDNNTaskDoneCb callback = task->released ? NULL : task->callback;
  if (callback != NULL) {
    in_foreign_code = true;
  }
  /* Without the lock, or who waits would wake up only to wait for it. */
  pthread_mutex_unlock(&lock);
  pthread_cond_broadcast(&task->changed);
  if (callback != NULL) {
    callback(task->handle, status, task->callback_user);
  }
  pthread_mutex_lock(&lock);
  if (callback != NULL) {
    in_foreign_code = false;
    pthread_cond_broadcast(&foreign_code_over);
  }
  unuse_task(task);
}

/* Sleep to a point of the timeline; false if the library is being unloaded. */
static bool sleep_until(int64_t time) {
  struct timespec deadline = to_timespec(time);
  while (!stopping && now_ns() < time) {
    pthread_cond_timedwait(&bpu_interrupt, &lock, &deadline);
  }
  return !stopping;
}

typedef struct {
  uint8_t *bytes;
  size_t size;
} Buffer;

static void *reserve(Buffer *buffer, size_t size) {
  if (size > buffer->size) {
    free(buffer->bytes);
    buffer->bytes = malloc(size);
    buffer->size = buffer->bytes != NULL ? size : 0;
  }
  return buffer->bytes;
}

typedef struct {
  Buffer image, scores, output;
} Scratch;

/* Read the image and compute the result, without the lock. */
static int32_t compute(
  const Task *task, Scratch *scratch, emu_network run, void *user, int fault) {
  const Model *model = task->model;
  size_t stride = (size_t)task->input_stride;
  size_t width = (size_t)model->width;
  size_t height = (size_t)model->height;
  const uint8_t *y = task->input[0]->bpu + task->input_offset[0];
  const uint8_t *uv = task->input[1] != NULL ? task->input[1]->bpu + task->input_offset[1]
                                             : y + stride * height;
  float *scores = reserve(&scratch->scores, (size_t)model->classes * sizeof *scores);
  uint8_t *output = reserve(&scratch->output, (size_t)model->output.alignedByteSize);
  if (scores == NULL || output == NULL) {
    return HB_DNN_OUT_OF_MEMORY;
  }
  if (!model->callback) {
    fingerprint(y, uv, model->height, model->width, task->input_stride, scores, model->classes);
  } else if (run == NULL) {
    return HB_DNN_RUN_TASK_FAILED;
  } else {
    uint8_t *image = reserve(&scratch->image, width * height * 3 / 2);
    if (image == NULL) {
      return HB_DNN_OUT_OF_MEMORY;
    }
    for (size_t i = 0; i < height * 3 / 2; i++) {
      const uint8_t *row = i < height ? y + i * stride : uv + (i - height) * stride;
      memcpy(image + i * width, row, width);
    }
    for (int32_t i = 0; i < model->classes; i++) {
      scores[i] = NAN; /* a network that does not answer is seen */
    }
    run(image, model->height, model->width, scores, model->classes, user);
  }
  encode(model, scores, fault, output);
  return 0;
}

static void run_task(Task *task, Scratch *scratch) {
  const Model *model = task->model;
  double parallel_us = model->parallel_us < 0 ? settings[S_parallel_us] : model->parallel_us;
  double serial_us = model->serial_us < 0 ? settings[S_serial_us] : model->serial_us;
  int64_t start = task->submitted + (int64_t)(parallel_us * 1000);
  start = start > bpu_free ? start : bpu_free;
  if (!sleep_until(start)) {
    return;
  }
  int fault = chance(settings[S_nan])            ? ALL_NAN
              : chance(settings[S_inf])          ? ALL_INF
              : chance(settings[S_out_of_range]) ? OUT_OF_RANGE
                                                 : SOUND;
  int64_t end = start + (int64_t)((serial_us + settings[S_slow_us]) * 1000);
  emu_network run = network;
  void *user = network_user;
  in_foreign_code = model->callback && run != NULL;
  pthread_mutex_unlock(&lock);
  int32_t status = compute(task, scratch, run, user, fault);
  pthread_mutex_lock(&lock);
  if (in_foreign_code) { /* a real network may need longer than the modelled BPU */
    in_foreign_code = false;
    pthread_cond_broadcast(&foreign_code_over);
    int64_t now = now_ns();
    end = now > end ? now : end;
  }
  if (!sleep_until(end)) {
    return;
  }
  while (settings[S_hang] != 0 && !stopping) {
    pthread_cond_wait(&bpu_interrupt, &lock);
    end = now_ns();
  }
  if (stopping) {
    return;
  }
  bpu_free = end;
  int32_t injected = injected_fault(F_task);
  if (injected != 0) {
    status = injected;
  } else if (status != 0) {
    functions[F_task].failed++;
  } else {
    memcpy(task->output->bpu + task->output_offset, scratch->output.bytes,
           (size_t)model->output.alignedByteSize);
    counters[C_inferences]++;
  }
  running = NULL;
  end_task(task, status);
}

static void *bpu_main(void *unused) {
  (void)unused;
  Scratch scratch = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
  prctl(PR_SET_NAME, "emulated-bpu");
  prctl(PR_SET_TIMERSLACK, 1); /* the kernel may wake others 50 us late to save power, not us */
  pthread_mutex_lock(&lock);
  while (!stopping) {
    if (queue_head == NULL || settings[S_hang] != 0) {
      pthread_cond_wait(&bpu_work, &lock);
      continue;
    }
    Task *task = dequeue();
    if (!task->hang_decided) {
      task->hang_decided = true;
      bool hangs = settings[S_hang_next] >= 1;
      settings[S_hang_next] -= hangs;
      if (hangs || chance(settings[S_hang_rate])) {
        if (task->released) {
          end_task(task, HB_DNN_RUN_TASK_FAILED);
        } else {
          task->hung = true;
          task->next = hung_head;
          hung_head = task;
        }
        continue;
      }
    }
    running = task; /* still ours if the library is unloaded in between */
    run_task(task, &scratch);
  }
  pthread_mutex_unlock(&lock);
  free(scratch.image.bytes);
  free(scratch.scores.bytes);
  free(scratch.output.bytes);
  return NULL;
}

/* After a hang: everybody goes on from now, nothing is made up for. Called with the lock. */
static void end_hang(void) {
  int64_t now = now_ns();
  bpu_free = bpu_free > now ? bpu_free : now;
  Task *in_order = NULL; /* the list has the latest first */
  while (hung_head != NULL) {
    Task *task = hung_head;
    hung_head = task->next;
    task->next = in_order;
    in_order = task;
  }
  while (in_order != NULL) {
    Task *task = in_order;
    in_order = task->next;
    task->hung = false;
    task->submitted = now;
    enqueue(task);
  }
  pthread_cond_broadcast(&bpu_work);
  pthread_cond_broadcast(&bpu_interrupt);
}

/* ------------------------------------------------------------------------------- tasks */

static Task *find_task(const void *handle) {
  uintptr_t bits = (uintptr_t)handle;
  unsigned slot = bits & 0xFFF;
  if ((bits & 0xF000) != TAG_TASK || slot >= MAX_TASKS || slots[slot] == NULL) {
    return NULL;
  }
  return slots[slot]->handle == handle ? slots[slot] : NULL;
}

/* The memory of a task, looked up. The BPU takes the row stride from the caller's tensor, where a
 * program may have put its own, and both planes apart for NV12 models too; everything else has to
 * be what the model says. */
static bool check_tensors(
  const Model *model, const hbDNNTensor *input, const hbDNNTensor *output, Task *task) {
  const hbDNNTensorShape *valid = &input->properties.validShape;
  const hbDNNTensorShape *aligned = &input->properties.alignedShape;
  int32_t given = input->properties.tensorType;
  if ((given != model->input.tensorType && given != TYPE_NV12_SEPARATE) ||
      (model->input.tensorType != TYPE_NV12 && model->input.tensorType != TYPE_NV12_SEPARATE) ||
      memcmp(valid, &model->input.validShape, sizeof *valid) != 0 || aligned->numDimensions != 4 ||
      output->properties.tensorType != model->output.tensorType) {
    return false;
  }
  int32_t stride = aligned->dimensionSize[3];
  if (stride < model->width || stride > 65536 || stride % 16 != 0) {
    return false;
  }
  uint64_t luma = (uint64_t)stride * (uint64_t)model->height;
  task->input_stride = stride;
  if (given == TYPE_NV12) {
    task->input[0] = find_block(&input->sysMem[0], luma * 3 / 2, &task->input_offset[0]);
  } else {
    task->input[0] = find_block(&input->sysMem[0], luma, &task->input_offset[0]);
    task->input[1] = find_block(&input->sysMem[1], luma / 2, &task->input_offset[1]);
    if (task->input[1] == NULL) {
      return false;
    }
  }
  task->output = find_block(
    &output->sysMem[0], (uint64_t)model->output.alignedByteSize, &task->output_offset);
  bool placed = input->sysMem[0].phyAddr % 16 == 0 &&
                (task->input[1] == NULL || input->sysMem[1].phyAddr % 16 == 0);
  return placed && task->input[0] != NULL && task->output != NULL;
}

static int32_t submit(
  Task *task, hbDNNTaskHandle_t *handle, const hbDNNTensor *output, const hbDNNTensor *input,
  const void *model_handle_) {
  Packed *packed;
  const Model *model = find_model(model_handle_, &packed);
  if (forked) {
    return HB_DNN_MULTI_PROGRESS_USE_ERROR; /* the BPU thread stayed in the parent */
  }
  if (model == NULL) {
    return HB_DNN_INVALID_DNN_HANDLE;
  }
  if (model->input_count != 1 || model->output_count != 1 ||
      !check_tensors(model, input, output, task)) {
    return HB_DNN_INVALID_ARGUMENT;
  }
  if (live_tasks >= settings[S_task_limit] || settings[S_busy] != 0) {
    return HB_DNN_TASK_NUM_EXCEED_LIMIT;
  }
  if (!bpu_started) {
    if (pthread_create(&bpu_thread, NULL, bpu_main, NULL) != 0) {
      return HB_DNN_OUT_OF_MEMORY;
    }
    bpu_started = true;
  }
  while (slots[task->slot] != NULL) {
    task->slot++; /* task_limit <= MAX_TASKS: there is a free one */
  }
  slots[task->slot] = task;
  task->handle = make_handle(next_generation++, TAG_TASK, task->slot);
  task->users = 2;
  task->packed = packed;
  task->model = model;
  task->submitted = now_ns();
  task->input[0]->users++;
  if (task->input[1] != NULL) {
    task->input[1]->users++;
  }
  task->output->users++;
  packed->users++;
  packed->live_tasks++;
  live_tasks++;
  counters[C_tasks]++;
  if (live_tasks > counters[C_max_live_tasks]) {
    counters[C_max_live_tasks] = live_tasks;
  }
  *handle = task->handle;
  enqueue(task);
  return 0;
}

static int32_t infer(
  hbDNNTaskHandle_t *handle, hbDNNTensor **outputs, const hbDNNTensor *inputs, const void *model,
  const hbDNNInferCtrlParam *control) {
  if (handle == NULL || *handle != NULL || outputs == NULL || *outputs == NULL || inputs == NULL ||
      control == NULL || control->priority < 0 || control->priority > 255 ||
      control->bpuCoreId < 0 || control->bpuCoreId > 2 || control->more != 0) {
    return HB_DNN_INVALID_ARGUMENT;
  }
  Task *task = calloc(1, sizeof *task);
  if (task == NULL) {
    return HB_DNN_OUT_OF_MEMORY;
  }
  init_condition(&task->changed);
  pthread_mutex_lock(&lock);
  int32_t code = submit(task, handle, *outputs, inputs, model);
  pthread_mutex_unlock(&lock);
  if (code != 0) {
    pthread_cond_destroy(&task->changed);
    free(task);
    return code;
  }
  /* Without the lock, or the BPU's thread would wake up only to wait for it. */
  pthread_cond_signal(&bpu_work);
  return 0;
}

int32_t hbDNNInfer(
  hbDNNTaskHandle_t *task, hbDNNTensor **outputs, const hbDNNTensor *inputs, hbDNNHandle_t model,
  hbDNNInferCtrlParam *control) {
  ANSWER(hbDNNInfer, infer(task, outputs, inputs, model, control));
}

static int32_t wait_task(const void *handle, int32_t timeout_ms) {
  int64_t end = now_ns() + (int64_t)timeout_ms * 1000000;
  struct timespec deadline = to_timespec(end);
  pthread_mutex_lock(&lock);
  Task *task = find_task(handle);
  if (task == NULL || forked) {
    pthread_mutex_unlock(&lock);
    return task == NULL ? HB_DNN_INVALID_TASK_HANDLE : HB_DNN_MULTI_PROGRESS_USE_ERROR;
  }
  task->users++;
  while (!task->done && !task->released) {
    if (timeout_ms <= 0) {
      pthread_cond_wait(&task->changed, &lock);
    } else if (pthread_cond_timedwait(&task->changed, &lock, &deadline) == ETIMEDOUT) {
      break;
    }
  }
  int32_t code = task->done       ? task->status
                 : task->released ? HB_DNN_INVALID_TASK_HANDLE
                                  : HB_DNN_TIMEOUT;
  unuse_task(task);
  pthread_mutex_unlock(&lock);
  return code;
}

int32_t hbDNNWaitTaskDone(hbDNNTaskHandle_t task, int32_t timeout_ms) {
  ANSWER(hbDNNWaitTaskDone, wait_task(task, timeout_ms));
}

/* The handle goes at once. What the BPU has in its queue it still does, as hardware would: it
 * reads the input and writes the output later. Only a task that hangs by itself is given up. */
static int32_t release_task(const void *handle) {
  pthread_mutex_lock(&lock);
  Task *task = find_task(handle);
  if (task == NULL) {
    pthread_mutex_unlock(&lock);
    return HB_DNN_INVALID_TASK_HANDLE;
  }
  slots[task->slot] = NULL;
  task->released = true;
  task->packed->live_tasks -= 1;
  live_tasks--;
  counters[C_releases]++;
  pthread_cond_broadcast(&task->changed);
  if (task->hung) {
    Task **link = &hung_head;
    while (*link != task) {
      link = &(*link)->next;
    }
    *link = task->next;
    end_task(task, HB_DNN_RUN_TASK_FAILED);
  }
  unuse_task(task);
  pthread_mutex_unlock(&lock);
  return 0;
}

int32_t hbDNNReleaseTask(hbDNNTaskHandle_t task) { ANSWER(hbDNNReleaseTask, release_task(task)); }

/* The callback comes from the BPU's thread, or at once from this one if the task is done. */
static int32_t set_callback(void *handle, hbDNNTaskDoneCb callback, void *user) {
  pthread_mutex_lock(&lock);
  Task *task = find_task(handle);
  if (task == NULL) {
    pthread_mutex_unlock(&lock);
    return HB_DNN_INVALID_TASK_HANDLE;
  }
  task->callback = callback;
  task->callback_user = user;
  bool at_once = task->done && callback != NULL;
  int32_t status = task->status;
  pthread_mutex_unlock(&lock);
  if (at_once) {
    callback(handle, status, user);
  }
  return 0;
}

int32_t hbDNNSetTaskDoneCb(hbDNNTaskHandle_t task, hbDNNTaskDoneCb callback, void *user) {
  ANSWER(hbDNNSetTaskDoneCb, set_callback(task, callback, user));
}

/* ------------------------------------------------------------------------------- control */

static Function *find_function(const char *key, const char *prefix) {
  size_t length = strlen(prefix);
  if (strncmp(key, prefix, length) != 0 || key[length] != '.') {
    return NULL;
  }
  for (int i = 0; i < FUNCTION_COUNT; i++) {
    if (strcmp(functions[i].name, key + length + 1) == 0) {
      return &functions[i];
    }
  }
  return NULL;
}

static int find_setting(const char *key) {
  for (int i = 0; i < SETTING_COUNT; i++) {
    if (strcmp(setting_table[i].name, key) == 0) {
      return i;
    }
  }
  return -1;
}

static int set_locked(const char *key, double value) {
  Function *f;
  int setting = find_setting(key);
  if (setting == S_task_limit && !(value >= 0 && value <= MAX_TASKS)) {
    return -1;
  }
  if (setting >= 0) {
    settings[setting] = value;
    if (setting == S_seed) {
      random_state = (uint64_t)(int64_t)value;
    } else if (setting == S_hang && value == 0) {
      end_hang();
    }
  } else if ((f = find_function(key, "fail")) != NULL) {
    f->fail = (int32_t)value;
  } else if ((f = find_function(key, "fail_code")) != NULL) {
    f->fail_code = (int32_t)value;
  } else if ((f = find_function(key, "fail_rate")) != NULL) {
    f->fail_rate = value;
  } else if ((f = find_function(key, "fail_next")) != NULL) {
    f->fail_next = value;
  } else {
    return -1;
  }
  return 0;
}

/* Change a setting: the names in SETTINGS, and for every function, and for `task`, fail.<name>
 * (the code of every call, 0: none), fail_rate.<name>, fail_next.<name> and fail_code.<name> (the
 * code of those two). 0, or -1 if there is no such key. */
int emu_set(const char *key, double value) {
  pthread_mutex_lock(&lock);
  int result = set_locked(key, value);
  pthread_mutex_unlock(&lock);
  return result;
}

static double write_after_free(void) {
  double count = counters[C_evicted_write_after_free];
  for (int i = 0; i < QUARANTINE; i++) {
    const Block *block = quarantine[i];
    count += block != NULL && !is_filled(block->cpu, (size_t)block->size + GUARD, POISON_FREED);
  }
  return count;
}

static double packed_live(void) {
  double count = 0;
  for (const Packed *packed = packed_list; packed != NULL; packed = packed->next) {
    count++;
  }
  return count;
}

static double get_locked(const char *key) {
  const Function *f;
  if ((f = find_function(key, "calls")) != NULL) return f->calls;
  if ((f = find_function(key, "failed")) != NULL) return f->failed;
  if ((f = find_function(key, "injected")) != NULL) return f->injected;
  if ((f = find_function(key, "fail")) != NULL) return f->fail;
  if ((f = find_function(key, "fail_code")) != NULL) return f->fail_code;
  if ((f = find_function(key, "fail_rate")) != NULL) return f->fail_rate;
  if ((f = find_function(key, "fail_next")) != NULL) return f->fail_next;
  for (int i = 0; i < COUNTER_COUNT; i++) {
    if (strcmp(counter_names[i], key) == 0) return counters[i];
  }
  if (strcmp(key, "live_memory_blocks") == 0) return live_blocks;
  if (strcmp(key, "live_bytes") == 0) return (double)live_bytes;
  if (strcmp(key, "live_tasks") == 0) return live_tasks;
  if (strcmp(key, "live_packed") == 0) return packed_live();
  if (strcmp(key, "write_after_free") == 0) return write_after_free();
  int setting = find_setting(key);
  return setting >= 0 ? settings[setting] : (double)NAN;
}

/* A counter (COUNTERS; calls.<name>, failed.<name>, injected.<name>), something that is alive now
 * (live_memory_blocks, live_bytes, live_tasks, live_packed), write_after_free (memory that was
 * written after it was freed) or a setting. NaN if there is no such key. */
double emu_get(const char *key) {
  pthread_mutex_lock(&lock);
  double value = get_locked(key);
  pthread_mutex_unlock(&lock);
  return value;
}

/* EMULATED_LIBDNN=key=value,key=value. A key that does not exist would silently test nothing. */
static void set_from_environment(void) {
  const char *text = getenv("EMULATED_LIBDNN");
  char *copy = text != NULL ? strdup(text) : NULL;
  char *rest = NULL;
  for (char *item = copy != NULL ? strtok_r(copy, ",", &rest) : NULL; item != NULL;
       item = strtok_r(NULL, ",", &rest)) {
    char *equals = strchr(item, '=');
    double value;
    if (equals != NULL) {
      *equals = '\0';
    }
    if (equals == NULL || !parse_number(equals + 1, &value) || set_locked(item, value) != 0) {
      fprintf(stderr, "emulated libdnn: EMULATED_LIBDNN: cannot set '%s'\n", item);
    }
  }
  free(copy);
}

/* Counters to 0, settings and faults to what they were at load; tasks that hang go on. What is
 * alive (memory, tasks, models, the network) stays. */
void emu_reset(void) {
  pthread_mutex_lock(&lock);
  memset(counters, 0, sizeof counters);
  counters[C_max_live_tasks] = live_tasks;
  for (int i = 0; i < FUNCTION_COUNT; i++) {
    Function *f = &functions[i];
    f->fail = f->fail_code = 0;
    f->fail_rate = f->fail_next = f->calls = f->failed = f->injected = 0;
  }
  for (int i = 0; i < SETTING_COUNT; i++) {
    settings[i] = setting_table[i].standard;
  }
  random_state = (uint64_t)settings[S_seed];
  for (int i = 0; i < QUARANTINE; i++) { /* their verdict was a counter too */
    if (quarantine[i] != NULL) {
      memset(quarantine[i]->cpu, POISON_FREED, (size_t)quarantine[i]->size + GUARD);
    }
  }
  set_from_environment();
  end_hang();
  pthread_mutex_unlock(&lock);
}

/* The network of models with network=callback, or NULL. It is called in the BPU's thread with the
 * image as contiguous NV12 and fills in `classes` probabilities. When this returns, the network
 * before is not running any more and may be freed. */
void emu_set_network(emu_network function, void *user) {
  pthread_mutex_lock(&lock);
  network = function;
  network_user = user;
  while (in_foreign_code && !pthread_equal(pthread_self(), bpu_thread)) {
    pthread_cond_wait(&foreign_code_over, &lock);
  }
  pthread_mutex_unlock(&lock);
}

/* ------------------------------------------------------------------------- load and unload */

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }
static void after_fork_in_child(void) {
  forked = forked || bpu_started;
  init_condition(&bpu_work); /* the BPU thread may have been waiting, but not in this process */
  init_condition(&bpu_interrupt);
  init_condition(&foreign_code_over);
  in_foreign_code = false;
  pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void load(void) {
  init_condition(&bpu_work);
  init_condition(&bpu_interrupt);
  init_condition(&foreign_code_over);
  pthread_atfork(before_fork, after_fork, after_fork_in_child);
  emu_reset();
}

static void write_report(const char *path) {
  static const char *const gauges[] = {
    "live_memory_blocks", "live_bytes", "live_tasks", "live_packed", "write_after_free"};
  FILE *file = fopen(path, "w");
  if (file == NULL) {
    fprintf(stderr, "emulated libdnn: cannot write EMULATED_LIBDNN_REPORT '%s'\n", path);
    return;
  }
  for (int i = 0; i < COUNTER_COUNT; i++) {
    fprintf(file, "%s=%.0f\n", counter_names[i], counters[i]);
  }
  for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++) {
    fprintf(file, "%s=%.0f\n", gauges[i], get_locked(gauges[i]));
  }
  for (int i = 0; i < FUNCTION_COUNT; i++) {
    const Function *f = &functions[i];
    fprintf(file, "calls.%s=%.0f\nfailed.%s=%.0f\ninjected.%s=%.0f\n", f->name, f->calls, f->name,
            f->failed, f->name, f->injected);
  }
  fclose(file);
}

/* The BPU's thread is sent home, unless it is in a function of the test: that may wait for ever
 * (Python's lock, when the interpreter is gone), and then the process has to end without it.
 * What the program did not free is left alone, since its threads may still be using it. */
__attribute__((destructor)) static void unload(void) {
  pthread_mutex_lock(&lock);
  stopping = true;
  bool join = bpu_started && !in_foreign_code && !forked;
  pthread_cond_broadcast(&bpu_work);
  pthread_cond_broadcast(&bpu_interrupt);
  const char *report = getenv("EMULATED_LIBDNN_REPORT");
  if (report != NULL && report[0] != '\0' && !forked) {
    write_report(report);
  }
  pthread_mutex_unlock(&lock);
  if (join) {
    pthread_join(bpu_thread, NULL);
    for (int i = 0; i < QUARANTINE; i++) {
      if (quarantine[i] != NULL) {
        destroy_block(quarantine[i]);
        quarantine[i] = NULL;
      }
    }
  }
}
