/* A CUDA driver in host memory, for calling cuda-python and PyCUDA for real on a machine without a GPU.
 *
 * One device of compute capability 8.9. Work runs at once, except between begin and end of a capture, where it is
 * recorded. Calls that need a context fail with CUDA_ERROR_INVALID_CONTEXT where the thread has none. fake_live() counts
 * what was created and not destroyed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int Result;
typedef unsigned long long Pointer;
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500,
       ILLEGAL_ADDRESS = 700, UNSUPPORTED = 900, INVALIDATED = 901 };

typedef struct { void *to; const void *from; size_t count; } Copy;
typedef struct { Copy copies[64]; int used; } Graph;
typedef struct { Graph *recording; int invalid; } Stream;
typedef struct { double milliseconds; int timing; } Event;

static int live, retained;
static double now;
static char primary, foreign;
static __thread void *stack[16];
static __thread int depth;

int fake_live(void) { return live; }
int fake_retained(void) { return retained; }
int fake_depth(void) { return depth; }
/* What a host application does that made a context of its own. */
void *fake_application_context(void) { stack[depth++] = &foreign; return &foreign; }

/* What the CUDA runtime does: the primary context, retained and made current. */
void *fake_push_primary(void) { retained++; stack[depth++] = &primary; return &primary; }
void fake_release_primary(void) { retained--; }
void fake_pop(void) { depth--; }

/* From here on every call in a context fails, as after a kernel that reached for memory that isn't there. */
static int lost;
void fake_lose(int yes) { lost = yes; }

#define NEED_CONTEXT if (!depth) return INVALID_CONTEXT; if (lost) return ILLEGAL_ADDRESS

/* An image for GPUs on a machine without one has the driver's library and no device. */
Result cuInit(unsigned flags) { return getenv("FAKE_DRIVER_NO_DEVICE") ? NO_DEVICE : OK; }
Result cuDriverGetVersion(int *version) { *version = 13000; return OK; }
Result cuDeviceGetCount(int *count) { *count = 1; return OK; }
Result cuDeviceGet(int *device, int index) { if (index) return INVALID_VALUE; *device = 0; return OK; }
Result cuDeviceGetName(char *name, int size, int device) { snprintf(name, size, "Fake Driver GPU"); return OK; }
Result cuDeviceGetUuid_v2(unsigned char *uuid, int device) { for (int i = 0; i < 16; i++) uuid[i] = i; return OK; }
Result cuDeviceTotalMem_v2(size_t *count, int device) { *count = (size_t)6 << 30; return OK; }
Result cuDeviceComputeCapability(int *major, int *minor, int device) { *major = 8; *minor = 9; return OK; }
Result cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? 8 : attribute == 76 ? 9 : 0;
  return OK;
}

Result cuCtxGetCurrent(void **context) { *context = depth ? stack[depth - 1] : NULL; return OK; }
Result cuCtxPushCurrent_v2(void *context) {
  if (context == &primary && !retained) return INVALID_CONTEXT;
  stack[depth++] = context;
  return OK;
}
Result cuCtxPopCurrent_v2(void **context) {
  if (!depth) return INVALID_CONTEXT;
  depth--;
  if (context) *context = stack[depth];
  return OK;
}
Result cuCtxGetDevice(int *device) { NEED_CONTEXT; *device = 0; return OK; }
Result cuDevicePrimaryCtxRetain(void **context, int device) { retained++; *context = &primary; return OK; }
Result cuDevicePrimaryCtxRelease_v2(int device) { if (!retained) return INVALID_CONTEXT; retained--; return OK; }

Result cuStreamCreate(void **stream, unsigned flags) {
  NEED_CONTEXT;
  if (flags != 1) return INVALID_VALUE; /* a session's stream must not wait for the default one */
  *stream = calloc(1, sizeof(Stream));
  live++;
  return OK;
}
Result cuStreamDestroy_v2(void *stream) { NEED_CONTEXT; free(stream); live--; return OK; }
Result cuStreamSynchronize(void *stream) {
  NEED_CONTEXT;
  if (!stream || !((Stream *)stream)->recording) return OK;
  ((Stream *)stream)->invalid = 1;
  return UNSUPPORTED;
}
Result cuStreamWaitEvent(void *stream, void *event, unsigned flags) { NEED_CONTEXT; return event ? OK : INVALID_HANDLE; }

Result cuEventCreate(void **event, unsigned flags) {
  NEED_CONTEXT;
  Event *made = calloc(1, sizeof(Event));
  made->timing = !(flags & 2);
  *event = made;
  live++;
  return OK;
}
Result cuEventDestroy_v2(void *event) { NEED_CONTEXT; free(event); live--; return OK; }
Result cuEventRecord(void *event, void *stream) { NEED_CONTEXT; ((Event *)event)->milliseconds = now += 1.5; return OK; }
Result cuEventSynchronize(void *event) { NEED_CONTEXT; return event ? OK : INVALID_HANDLE; }
Result cuEventElapsedTime(float *elapsed, void *start, void *end) {
  NEED_CONTEXT;
  if (!((Event *)start)->timing || !((Event *)end)->timing) return INVALID_HANDLE;
  *elapsed = (float)(((Event *)end)->milliseconds - ((Event *)start)->milliseconds);
  return OK;
}
Result cuEventElapsedTime_v2(float *elapsed, void *start, void *end) { return cuEventElapsedTime(elapsed, start, end); }

Result cuMemAlloc_v2(Pointer *pointer, size_t count) {
  NEED_CONTEXT;
  if (count > (size_t)6 << 30) return OUT_OF_MEMORY;
  *pointer = (Pointer)(size_t)malloc(count);
  live++;
  return OK;
}
Result cuMemGetInfo_v2(size_t *free, size_t *total) { NEED_CONTEXT; *free = *total = (size_t)6 << 30; return OK; }
Result cuMemFree_v2(Pointer pointer) { NEED_CONTEXT; free((void *)(size_t)pointer); live--; return OK; }
Result cuMemHostAlloc(void **pointer, size_t count, unsigned flags) {
  NEED_CONTEXT;
  if (flags != 1) return INVALID_VALUE; /* page-locked for every context */
  *pointer = malloc(count);
  live++;
  return OK;
}
Result cuMemFreeHost(void *pointer) { NEED_CONTEXT; free(pointer); live--; return OK; }

static Result copy(void *to, const void *from, size_t count, Stream *stream) {
  NEED_CONTEXT;
  if (stream && stream->recording) {
    Graph *graph = stream->recording;
    graph->copies[graph->used++] = (Copy){to, from, count};
  } else {
    memcpy(to, from, count);
  }
  return OK;
}
Result cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t count, void *stream) {
  return copy((void *)(size_t)to, from, count, stream);
}
Result cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t count, void *stream) {
  return copy(to, (const void *)(size_t)from, count, stream);
}
Result cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t count, void *stream) {
  return copy((void *)(size_t)to, (const void *)(size_t)from, count, stream);
}

Result cuStreamBeginCapture_v2(void *stream, int mode) {
  NEED_CONTEXT;
  if (!stream || mode != 1) return UNSUPPORTED; /* not the default stream; other threads go on undisturbed */
  ((Stream *)stream)->recording = calloc(1, sizeof(Graph));
  live++;
  return OK;
}
Result cuStreamIsCapturing(void *stream, int *status) {
  NEED_CONTEXT;
  *status = !((Stream *)stream)->recording ? 0 : ((Stream *)stream)->invalid ? 2 : 1;
  return OK;
}
Result cuStreamEndCapture(void *stream, void **graph) {
  NEED_CONTEXT;
  if (!((Stream *)stream)->recording) return UNSUPPORTED;
  *graph = ((Stream *)stream)->recording;
  ((Stream *)stream)->recording = NULL;
  if (((Stream *)stream)->invalid) {
    ((Stream *)stream)->invalid = 0;
    free(*graph);
    live--;
    *graph = NULL;
    return INVALIDATED;
  }
  return OK;
}
Result cuGraphInstantiateWithFlags(void **ready, void *graph, unsigned long long flags) {
  NEED_CONTEXT;
  *ready = memcpy(malloc(sizeof(Graph)), graph, sizeof(Graph));
  live++;
  return OK;
}
Result cuGraphInstantiate(void **ready, void *graph, unsigned long long flags) {
  return cuGraphInstantiateWithFlags(ready, graph, flags);
}
Result cuGraphLaunch(void *ready, void *stream) {
  NEED_CONTEXT;
  Graph *graph = ready;
  for (int i = 0; i < graph->used; i++) memcpy(graph->copies[i].to, graph->copies[i].from, graph->copies[i].count);
  return OK;
}
Result cuGraphDestroy(void *graph) { NEED_CONTEXT; free(graph); live--; return OK; }
Result cuGraphExecDestroy(void *ready) { NEED_CONTEXT; free(ready); live--; return OK; }

Result cuGetErrorName(Result error, const char **name) {
  *name = error == OUT_OF_MEMORY     ? "CUDA_ERROR_OUT_OF_MEMORY"
          : error == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT"
          : error == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : error == NO_DEVICE       ? "CUDA_ERROR_NO_DEVICE"
          : error == UNSUPPORTED     ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
          : error == INVALIDATED     ? "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"
                                     : "CUDA_ERROR_INVALID_VALUE";
  return OK;
}
Result cuGetErrorString(Result error, const char **text) { return cuGetErrorName(error, text); }

Result cuGetProcAddress_v2(const char *symbol, void **function, int version, unsigned long long flags, int *found) {
  char name[256];
  const char *endings[] = {"_v2", ""};
  for (int i = 0; i < 2; i++) {
    snprintf(name, sizeof name, "%s%s", symbol, endings[i]);
    if ((*function = dlsym(RTLD_DEFAULT, name))) {
      if (found) *found = 0;
      return OK;
    }
  }
  if (found) *found = 1;
  return NOT_FOUND;
}
