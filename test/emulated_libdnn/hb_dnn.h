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
 * The interface of the vendor's libdnn: error codes, enumerations, structures and functions. What
 * the emulation exports, and what calls it from C.
 */

#ifndef EMULATED_LIBDNN_HB_DNN_H
#define EMULATED_LIBDNN_HB_DNN_H

#include <stddef.h>
#include <stdint.h>

enum {
  HB_DNN_INVALID_ARGUMENT = -6000001,
  HB_DNN_INVALID_MODEL = -6000002,
  HB_DNN_INVALID_PACKED_DNN_HANDLE = -6000004,
  HB_DNN_INVALID_DNN_HANDLE = -6000005,
  HB_DNN_CAN_NOT_OPEN_FILE = -6000006,
  HB_DNN_OUT_OF_MEMORY = -6000007,
  HB_DNN_TIMEOUT = -6000008,
  HB_DNN_TASK_NUM_EXCEED_LIMIT = -6000009,
  HB_DNN_INVALID_TASK_HANDLE = -6000011,
  HB_DNN_RUN_TASK_FAILED = -6000012,
  HB_DNN_MODEL_IS_RUNNING = -6000013,
  HB_DNN_INCOMPATIBLE_MODEL = -6000014,
  HB_DNN_MULTI_PROGRESS_USE_ERROR = -6000016,
  HB_SYS_INVALID_ARGUMENT = -6000129,
  HB_SYS_OUT_OF_MEMORY = -6000130
};

enum { LAYOUT_NHWC = 0, LAYOUT_NCHW = 2 };
enum { QUANTI_NONE = 0, QUANTI_SHIFT = 1, QUANTI_SCALE = 2 };
enum { CACHE_INVALIDATE = 1, CACHE_CLEAN = 2 };
enum {
  TYPE_Y, TYPE_NV12, TYPE_NV12_SEPARATE, TYPE_YUV444, TYPE_RGB, TYPE_BGR, TYPE_S4, TYPE_U4,
  TYPE_S8, TYPE_U8, TYPE_F16, TYPE_S16, TYPE_U16, TYPE_F32, TYPE_S32
};

typedef void *hbPackedDNNHandle_t;
typedef void *hbDNNHandle_t;
typedef void *hbDNNTaskHandle_t;
typedef void (*hbDNNTaskDoneCb)(hbDNNTaskHandle_t task, int32_t status, void *user);

typedef struct {
  uint64_t phyAddr;
  void *virAddr;
  uint32_t memSize;
} hbSysMem;

typedef struct {
  int32_t dimensionSize[8];
  int32_t numDimensions;
} hbDNNTensorShape;

typedef struct {
  int32_t shiftLen;
  uint8_t *shiftData;
} hbDNNQuantiShift;

typedef struct {
  int32_t scaleLen;
  float *scaleData;
  int32_t zeroPointLen;
  int8_t *zeroPointData;
} hbDNNQuantiScale;

typedef struct {
  hbDNNTensorShape validShape;
  hbDNNTensorShape alignedShape;
  int32_t tensorLayout;
  int32_t tensorType;
  hbDNNQuantiShift shift;
  hbDNNQuantiScale scale;
  int32_t quantiType;
  int32_t quantizeAxis;
  int32_t alignedByteSize;
  int32_t stride[8];
} hbDNNTensorProperties;

typedef struct {
  hbSysMem sysMem[4];
  hbDNNTensorProperties properties;
} hbDNNTensor;

typedef struct {
  int32_t bpuCoreId;
  int32_t dspCoreId;
  int32_t priority;
  int32_t more;
  int64_t customId;
  int32_t reserved1;
  int32_t reserved2;
} hbDNNInferCtrlParam;

/* The layout is a promise to programs compiled elsewhere: every offset is nailed down. */
#define AT(type, field, offset) \
  _Static_assert(offsetof(type, field) == (offset), #type "." #field " is not at " #offset)
#define SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " is not " #size " bytes")
SIZE(void *, 8);
SIZE(hbSysMem, 24);
AT(hbSysMem, phyAddr, 0);
AT(hbSysMem, virAddr, 8);
AT(hbSysMem, memSize, 16);
SIZE(hbDNNTensorShape, 36);
AT(hbDNNTensorShape, dimensionSize, 0);
AT(hbDNNTensorShape, numDimensions, 32);
SIZE(hbDNNQuantiShift, 16);
AT(hbDNNQuantiShift, shiftLen, 0);
AT(hbDNNQuantiShift, shiftData, 8);
SIZE(hbDNNQuantiScale, 32);
AT(hbDNNQuantiScale, scaleLen, 0);
AT(hbDNNQuantiScale, scaleData, 8);
AT(hbDNNQuantiScale, zeroPointLen, 16);
AT(hbDNNQuantiScale, zeroPointData, 24);
SIZE(hbDNNTensorProperties, 176);
AT(hbDNNTensorProperties, validShape, 0);
AT(hbDNNTensorProperties, alignedShape, 36);
AT(hbDNNTensorProperties, tensorLayout, 72);
AT(hbDNNTensorProperties, tensorType, 76);
AT(hbDNNTensorProperties, shift, 80);
AT(hbDNNTensorProperties, scale, 96);
AT(hbDNNTensorProperties, quantiType, 128);
AT(hbDNNTensorProperties, quantizeAxis, 132);
AT(hbDNNTensorProperties, alignedByteSize, 136);
AT(hbDNNTensorProperties, stride, 140);
SIZE(hbDNNTensor, 272);
AT(hbDNNTensor, sysMem, 0);
AT(hbDNNTensor, properties, 96);
SIZE(hbDNNInferCtrlParam, 32);
AT(hbDNNInferCtrlParam, bpuCoreId, 0);
AT(hbDNNInferCtrlParam, dspCoreId, 4);
AT(hbDNNInferCtrlParam, priority, 8);
AT(hbDNNInferCtrlParam, more, 12);
AT(hbDNNInferCtrlParam, customId, 16);
AT(hbDNNInferCtrlParam, reserved1, 24);
AT(hbDNNInferCtrlParam, reserved2, 28);
#undef AT
#undef SIZE

const char *hbDNNGetVersion(void);
const char *hbDNNGetErrorDesc(int32_t code);
int32_t hbDNNInitializeFromFiles(hbPackedDNNHandle_t *packed, const char **files, int32_t count);
int32_t hbDNNRelease(hbPackedDNNHandle_t packed);
int32_t hbDNNGetModelNameList(const char ***names, int32_t *count, hbPackedDNNHandle_t packed);
int32_t hbDNNGetModelHandle(hbDNNHandle_t *model, hbPackedDNNHandle_t packed, const char *name);
int32_t hbDNNGetInputCount(int32_t *count, hbDNNHandle_t model);
int32_t hbDNNGetOutputCount(int32_t *count, hbDNNHandle_t model);
int32_t hbDNNGetInputName(const char **name, hbDNNHandle_t model, int32_t index);
int32_t hbDNNGetOutputName(const char **name, hbDNNHandle_t model, int32_t index);
int32_t hbDNNGetInputTensorProperties(
  hbDNNTensorProperties *properties, hbDNNHandle_t model, int32_t index);
int32_t hbDNNGetOutputTensorProperties(
  hbDNNTensorProperties *properties, hbDNNHandle_t model, int32_t index);
int32_t hbDNNInfer(
  hbDNNTaskHandle_t *task, hbDNNTensor **outputs, const hbDNNTensor *inputs, hbDNNHandle_t model,
  hbDNNInferCtrlParam *control);
int32_t hbDNNWaitTaskDone(hbDNNTaskHandle_t task, int32_t timeout_ms);
int32_t hbDNNReleaseTask(hbDNNTaskHandle_t task);
int32_t hbDNNSetTaskDoneCb(hbDNNTaskHandle_t task, hbDNNTaskDoneCb callback, void *user);
int32_t hbSysAllocMem(hbSysMem *mem, uint32_t size);
int32_t hbSysAllocCachedMem(hbSysMem *mem, uint32_t size);
int32_t hbSysFlushMem(hbSysMem *mem, int32_t flag);
int32_t hbSysFreeMem(hbSysMem *mem);

#endif
