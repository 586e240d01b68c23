/* A stand-in for libnvidia-ml.so.1: what NVML says stands in the text file $NVML_STATE, read again when it changes.
 *
 * A line is WHERE KEY VALUE...; WHERE is `system`, a GPU (`0`) or a MIG instance of one (`0.1`). What has no line is not
 * supported. A number may be BASE+RATE@SINCE: it grows by RATE a second from the boot time SINCE, in nanoseconds.
 *
 *   system count 2 | driver 550.54.14 | init 9 (nvmlInit fails with 9) | gone 9 (whoever is initialised gets 9)
 *   0 lost 15 | error FUNCTION CODE | delay FUNCTION MILLISECONDS | process PID LISTS BYTES SM MEMORY ENCODER DECODER
 *   and a key for every other thing that can be asked: see the calls of get() below.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef struct { char where[16]; int gpu, instance; } *Device;
typedef struct { u32 pid; u64 bytes; u32 gi, ci; } Process;
typedef struct { u32 pid; u64 at; u32 sm, memory, encoder, decoder; } Sample;
typedef struct { u32 field, scope; int64_t at, latency; u32 type, status; union { double d; u32 u; u64 ull; } value; } Field;
typedef struct { char legacy[16]; u32 domain, bus, device, id, subsystem; char bus_id[32]; } Pci;
typedef struct { u32 gpu, memory; } Rates;
typedef struct { u64 total, free, used; } Memory;
typedef struct { u32 version; u64 total, reserved, free, used; } Memory2;
typedef struct { Device device; u64 type, data; u32 gi, ci; } Event;
typedef struct { u32 id, status; double value; const char *names[3]; } Metric;
typedef struct { u32 version, count; Device *before, *after; Metric metrics[]; } Metrics;
enum { OK, UNINITIALIZED, INVALID, UNSUPPORTED, DENIED, TWICE, NOT_FOUND, TOO_SMALL, TIMEOUT = 10 };
enum { GPUS = 64, INSTANCES = 8, LINES = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { char where[16], key[48], value[160]; } lines[LINES];
static int line_count, initialised;
static struct timespec changed;
static struct { char where[16]; int gpu, instance; } devices[GPUS][INSTANCES + 1];
static u64 xids_told[GPUS];

static u64 now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static void read_state(void) {
    const char *path = getenv("NVML_STATE");
    struct stat state;
    char line[256];
    FILE *file;
    if (!path || stat(path, &state) || (state.st_mtim.tv_sec == changed.tv_sec && state.st_mtim.tv_nsec == changed.tv_nsec)
        || !(file = fopen(path, "r")))
        return;
    changed = state.st_mtim;
    for (line_count = 0; line_count < LINES && fgets(line, sizeof line, file);)
        line_count += sscanf(line, "%15s %47s %159[^\n]", lines[line_count].where, lines[line_count].key, lines[line_count].value) == 3;
    fclose(file);
}

/* The value of a key, from the line number *from on; NULL if there is none. */
static const char *find(const char *where, const char *key, int *from) {
    for (int i = from ? *from : 0; i < line_count; i++)
        if (!strcmp(lines[i].key, key) && !strcmp(lines[i].where, where)) {
            if (from) *from = i + 1;
            return lines[i].value;
        }
    return NULL;
}

static u64 number(const char *text) {
    u64 base = 0, rate = 0, since = 0, now = now_ns();
    sscanf(text, "%llu+%llu@%llu", &base, &rate, &since);
    return base + (now > since ? (u64)((double)rate * (now - since) / 1e9) : 0);
}

/* What every call begins with: the state is read, then come the delays and the errors that it asks for. */
static int enter(const char *function, const char *where) {
    char name[64];
    const char *value;
    int status = OK, from, milliseconds = 0, amount;
    pthread_mutex_lock(&lock);
    read_state();
    for (const char *place = where; place; place = strcmp(place, "system") ? "system" : NULL) {
        for (from = 0; (value = find(place, "delay", &from));)
            if (sscanf(value, "%63s %d", name, &amount) == 2 && !strcmp(name, function)) milliseconds = amount;
        for (from = 0; (value = find(place, "error", &from));)
            if (sscanf(value, "%63s %d", name, &amount) == 2 && (!strcmp(name, function) || !strcmp(name, "*"))) status = amount;
    }
    if ((value = find(where, "lost", NULL))) status = atoi(value);
    if ((value = find("system", "gone", NULL))) status = atoi(value);
    if (!initialised) status = UNINITIALIZED;
    pthread_mutex_unlock(&lock);
    if (milliseconds) nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000L}, NULL);
    return status;
}

static int get(const char *function, const char *where, const char *key, u64 *value) {
    int status = enter(function, where);
    pthread_mutex_lock(&lock);
    const char *text = find(where, key, NULL);
    if (!status && !text) status = UNSUPPORTED;
    if (!status) *value = number(text);
    pthread_mutex_unlock(&lock);
    return status;
}

static int get_text(const char *function, const char *where, const char *key, char *text, u32 size) {
    int status = enter(function, where);
    pthread_mutex_lock(&lock);
    const char *value = find(where, key, NULL);
    if (!status && !value) status = UNSUPPORTED;
    if (!status) snprintf(text, size, "%s", value);
    pthread_mutex_unlock(&lock);
    return status;
}

static int get_u32(const char *function, const char *where, const char *key, u32 *value) {
    u64 wide = 0;
    int status = get(function, where, key, &wide);
    *value = wide;
    return status;
}

static u64 get_or_0(Device device, const char *key) {
    pthread_mutex_lock(&lock);
    const char *text = find(device->where, key, NULL);
    u64 value = text ? number(text) : 0;
    pthread_mutex_unlock(&lock);
    return value;
}

static Device device_of(int gpu, int instance) {
    Device device = (Device)&devices[gpu][instance + 1];
    device->gpu = gpu, device->instance = instance;
    snprintf(device->where, sizeof device->where, instance < 0 ? "%d" : "%d.%d", gpu, instance);
    return device;
}

static int initialise(void) {
    const char *value;
    pthread_mutex_lock(&lock);
    read_state();
    value = (value = find("system", "init", NULL)) ? value : find("system", "gone", NULL);
    if (!value) initialised++;
    pthread_mutex_unlock(&lock);
    return value ? atoi(value) : OK;
}
int nvmlInit_v2(void) { return initialise(); }
int nvmlInitWithFlags(u32 flags) { (void)flags; return initialise(); }
int nvmlShutdown(void) { return initialised ? (initialised--, OK) : UNINITIALIZED; }
const char *nvmlErrorString(int status) { static char text[32]; snprintf(text, sizeof text, "Error %d", status); return text; }

int nvmlSystemGetDriverVersion(char *text, u32 size) { return get_text(__func__, "system", "driver", text, size); }
int nvmlSystemGetNVMLVersion(char *text, u32 size) { return get_text(__func__, "system", "driver", text, size); }
int nvmlSystemGetCudaDriverVersion(int *value) { return get_u32(__func__, "system", "cuda", (u32 *)value); }
int nvmlSystemGetCudaDriverVersion_v2(int *value) { return get_u32(__func__, "system", "cuda", (u32 *)value); }
int nvmlDeviceGetCount_v2(u32 *value) { return get_u32(__func__, "system", "count", value); }

int nvmlDeviceGetHandleByIndex_v2(u32 index, Device *device) {
    u32 count = 0;
    int status = get_u32(__func__, "system", "count", &count);
    if (status || index >= count || index >= GPUS) return status ? status : INVALID;
    return enter(__func__, (*device = device_of(index, -1))->where);
}
static int by_text(const char *key, const char *wanted, Device *device) {
    for (int gpu = 0; gpu < GPUS; gpu++)
        for (int instance = -1; instance < INSTANCES; instance++) {
            Device candidate = device_of(gpu, instance);
            pthread_mutex_lock(&lock);
            const char *text = find(candidate->where, key, NULL);
            int same = text && !strcmp(text, wanted);
            pthread_mutex_unlock(&lock);
            if (same) return *device = candidate, enter("nvmlDeviceGetHandleByUUID", candidate->where);
        }
    return NOT_FOUND;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) { return by_text("uuid", uuid, device); }
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, Device *device) { return by_text("bus", bus, device); }
int nvmlDeviceGetIndex(Device d, u32 *value) { return *value = d->gpu, enter(__func__, d->where); }
int nvmlDeviceGetName(Device d, char *text, u32 size) { return get_text(__func__, d->where, "name", text, size); }
int nvmlDeviceGetUUID(Device d, char *text, u32 size) { return get_text(__func__, d->where, "uuid", text, size); }
int nvmlDeviceGetPciInfo_v3(Device d, Pci *pci) {
    int status = get_text(__func__, d->where, "bus", pci->bus_id, sizeof pci->bus_id);
    if (!status) sscanf(pci->bus_id, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device);
    return status;
}

/* key: utilization; its memory's: utilization_memory */
int nvmlDeviceGetUtilizationRates(Device d, Rates *rates) {
    rates->memory = get_or_0(d, "utilization_memory");
    return get_u32(__func__, d->where, "utilization", &rates->gpu);
}
int nvmlDeviceGetEncoderUtilization(Device d, u32 *value, u32 *us) { return *us = 167000, get_u32(__func__, d->where, "encoder", value); }
int nvmlDeviceGetDecoderUtilization(Device d, u32 *value, u32 *us) { return *us = 167000, get_u32(__func__, d->where, "decoder", value); }

/* keys: total, used, reserved. Version 1 counts what is reserved as used. */
static int memory(const char *function, Device d, u64 *total, u64 *used, u64 *reserved, u64 *free_bytes) {
    int status = get(function, d->where, "total", total);
    *used = get_or_0(d, "used"), *reserved = get_or_0(d, "reserved");
    if (*used > *total - *reserved) *used = *total - *reserved;
    *free_bytes = *total - *reserved - *used;
    return status;
}
int nvmlDeviceGetMemoryInfo(Device d, Memory *info) {
    u64 reserved = 0;
    int status = memory(__func__, d, &info->total, &info->used, &reserved, &info->free);
    info->used += reserved;
    return status;
}
int nvmlDeviceGetMemoryInfo_v2(Device d, Memory2 *info) {
    if (info->version != 0x02000028) return 25;
    return memory(__func__, d, &info->total, &info->used, &info->reserved, &info->free);
}
int nvmlDeviceGetBAR1MemoryInfo(Device d, u64 *info) { return info[1] = info[2] = 0, get(__func__, d->where, "bar1", info); }

int nvmlDeviceGetTemperature(Device d, u32 sensor, u32 *value) { (void)sensor; return get_u32(__func__, d->where, "temperature", value); }
int nvmlDeviceGetTemperatureThreshold(Device d, u32 which, u32 *value) {
    static const char *keys[] = {"temperature_shutdown", "temperature_slowdown", "temperature_memory", "temperature_maximum"};
    return which < 4 ? get_u32(__func__, d->where, keys[which], value) : INVALID;
}
int nvmlDeviceGetPowerUsage(Device d, u32 *value) { return get_u32(__func__, d->where, "power", value); }
int nvmlDeviceGetEnforcedPowerLimit(Device d, u32 *value) { return get_u32(__func__, d->where, "power_limit", value); }
int nvmlDeviceGetPowerManagementLimit(Device d, u32 *value) { return get_u32(__func__, d->where, "power_limit", value); }
int nvmlDeviceGetTotalEnergyConsumption(Device d, u64 *value) { return get(__func__, d->where, "energy", value); }
static const char *clock_keys[] = {"clock_graphics", "clock_sm", "clock_memory", "clock_video"};
static const char *clock_maximum_keys[] = {"clock_graphics_maximum", "clock_sm_maximum", "clock_memory_maximum", "clock_video_maximum"};
int nvmlDeviceGetClockInfo(Device d, u32 which, u32 *mhz) { return get_u32(__func__, d->where, clock_keys[which & 3], mhz); }
int nvmlDeviceGetMaxClockInfo(Device d, u32 which, u32 *mhz) { return get_u32(__func__, d->where, clock_maximum_keys[which & 3], mhz); }
int nvmlDeviceGetPerformanceState(Device d, u32 *value) { return get_u32(__func__, d->where, "performance_state", value); }
int nvmlDeviceGetCurrentClocksEventReasons(Device d, u64 *bits) { return get(__func__, d->where, "throttle", bits); }
int nvmlDeviceGetCurrentClocksThrottleReasons(Device d, u64 *bits) { return get(__func__, d->where, "throttle", bits); }
int nvmlDeviceGetFanSpeed(Device d, u32 *value) { return get_u32(__func__, d->where, "fan", value); }
int nvmlDeviceGetCurrPcieLinkGeneration(Device d, u32 *value) { return get_u32(__func__, d->where, "pcie_generation", value); }
int nvmlDeviceGetCurrPcieLinkWidth(Device d, u32 *value) { return get_u32(__func__, d->where, "pcie_width", value); }
int nvmlDeviceGetMaxPcieLinkGeneration(Device d, u32 *value) { return get_u32(__func__, d->where, "pcie_generation_maximum", value); }
int nvmlDeviceGetMaxPcieLinkWidth(Device d, u32 *value) { return get_u32(__func__, d->where, "pcie_width_maximum", value); }
int nvmlDeviceGetPcieThroughput(Device d, u32 which, u32 *kb) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);  /* as the driver does */
    return get_u32(__func__, d->where, which ? "pcie_receive" : "pcie_transmit", kb);
}
int nvmlDeviceGetTotalEccErrors(Device d, u32 type, u32 counter, u64 *value) {
    static const char *keys[] = {"ecc_volatile_corrected", "ecc_volatile_uncorrected", "ecc_aggregate_corrected", "ecc_aggregate_uncorrected"};
    return get(__func__, d->where, keys[(counter & 1) * 2 + (type & 1)], value);
}
int nvmlDeviceGetRemappedRows(Device d, u32 *corrected, u32 *uncorrected, u32 *pending, u32 *failed) {
    *uncorrected = get_or_0(d, "remapped_uncorrected"), *pending = get_or_0(d, "remapped_pending"), *failed = get_or_0(d, "remapped_failed");
    return get_u32(__func__, d->where, "remapped_corrected", corrected);
}
/* keys: field82 and so on */
int nvmlDeviceGetFieldValues(Device d, int count, Field *fields) {
    int status = enter(__func__, d->where);
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "field%u", fields[i].field);
        fields[i].type = 3;
        fields[i].value.ull = get_or_0(d, key);
        pthread_mutex_lock(&lock);
        fields[i].status = find(d->where, key, NULL) ? OK : UNSUPPORTED;
        pthread_mutex_unlock(&lock);
    }
    return status;
}

/* `0 mig 2`: two instances are, `0.0` and `0.1`, with gi and ci */
int nvmlDeviceGetMigMode(Device d, u32 *current, u32 *pending) {
    u32 count = 0;
    int status = get_u32(__func__, d->where, "mig", &count);
    *current = *pending = count > 0;
    return status;
}
int nvmlDeviceGetMaxMigDeviceCount(Device d, u32 *count) { return *count = INSTANCES - 1, enter(__func__, d->where); }
int nvmlDeviceGetMigDeviceHandleByIndex(Device d, u32 index, Device *instance) {
    int status = enter(__func__, d->where);
    if (status || index >= get_or_0(d, "mig")) return status ? status : NOT_FOUND;
    return *instance = device_of(d->gpu, index), OK;
}
int nvmlDeviceIsMigDeviceHandle(Device d, u32 *is) { return *is = d->instance >= 0, enter(__func__, d->where); }
int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device d, Device *gpu) { return *gpu = device_of(d->gpu, -1), enter(__func__, d->where); }
int nvmlDeviceGetGpuInstanceId(Device d, u32 *value) { return get_u32(__func__, d->where, "gi", value); }
int nvmlDeviceGetComputeInstanceId(Device d, u32 *value) { return get_u32(__func__, d->where, "ci", value); }

/* LISTS are the letters c, g and m for the lists that it is in; BYTES may be - for "not available" */
static int processes(const char *function, Device d, char list, u32 *count, Process *found) {
    int status = enter(function, d->where), from = 0;
    u32 room = found ? *count : 0, number_of = 0, pid;
    char lists[8], bytes[64];
    const char *value;
    pthread_mutex_lock(&lock);
    while ((value = find(d->where, "process", &from)))
        if (sscanf(value, "%u %7s %63s", &pid, lists, bytes) == 3 && strchr(lists, list) && number_of++ < room)
            found[number_of - 1] = (Process){pid, *bytes == '-' ? ~0ULL : number(bytes), ~0U, ~0U};
    pthread_mutex_unlock(&lock);
    *count = number_of;
    return status ? status : number_of > room ? TOO_SMALL : OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(Device d, u32 *n, Process *p) { return processes(__func__, d, 'c', n, p); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device d, u32 *n, Process *p) { return processes(__func__, d, 'g', n, p); }
int nvmlDeviceGetMPSComputeRunningProcesses_v3(Device d, u32 *n, Process *p) { return processes(__func__, d, 'm', n, p); }
int nvmlDeviceGetProcessUtilization(Device d, Sample *found, u32 *count, u64 since) {
    int status = enter(__func__, d->where), from = 0;
    u32 room = found ? *count : 0, number_of = 0;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    Sample sample = {.at = wall.tv_sec * 1000000ULL + wall.tv_nsec / 1000};
    const char *value;
    pthread_mutex_lock(&lock);
    while ((value = find(d->where, "process", &from)))
        if (sscanf(value, "%u %*s %*s %u %u %u %u", &sample.pid, &sample.sm, &sample.memory, &sample.encoder, &sample.decoder) == 5
            && sample.at > since && number_of++ < room)
            found[number_of - 1] = sample;
    pthread_mutex_unlock(&lock);
    *count = number_of;
    return status ? status : !number_of ? NOT_FOUND : number_of > room ? TOO_SMALL : OK;
}

/* `0 xid 79`: told once to each set that waits for it */
int nvmlEventSetCreate(void **set) { return *set = calloc(GPUS, sizeof(u64)), enter(__func__, "system"); }
int nvmlEventSetFree(void *set) { return free(set), OK; }
int nvmlDeviceGetSupportedEventTypes(Device d, u64 *types) { return *types = 8, enter(__func__, d->where); }
int nvmlDeviceRegisterEvents(Device d, u64 types, u64 *set) { return set[d->gpu] = types, enter(__func__, d->where); }
int nvmlEventSetWait_v2(u64 *set, Event *event, u32 milliseconds) {
    int status = enter(__func__, "system");
    (void)milliseconds;
    for (int gpu = 0; gpu < GPUS && !status; gpu++) {
        u64 xid = set[gpu] ? get_or_0(device_of(gpu, -1), "xid") : 0;
        if (xid && xid != xids_told[gpu])
            return event->device = device_of(gpu, -1), event->type = 8, event->data = xids_told[gpu] = xid, OK;
    }
    return status ? status : TIMEOUT;
}

/* keys: gpm (1: supported), gpm2 and gpm5 for the metrics of these numbers, in percent */
int nvmlGpmQueryDeviceSupport(Device d, u32 *support) { return support[1] = get_or_0(d, "gpm"), enter(__func__, d->where); }
int nvmlGpmSampleAlloc(void **sample) { return *sample = calloc(1, sizeof(Device)), OK; }
int nvmlGpmSampleFree(void *sample) { return free(sample), OK; }
int nvmlGpmSampleGet(Device d, Device *sample) { return *sample = d, enter(__func__, d->where); }
int nvmlGpmMigSampleGet(Device d, u32 gi, Device *sample) { return *sample = device_of(d->gpu, gi & 7), enter(__func__, d->where); }
int nvmlGpmMetricsGet(Metrics *request) {
    for (u32 i = 0; i < request->count; i++) {
        char key[16];
        snprintf(key, sizeof key, "gpm%u", request->metrics[i].id);
        request->metrics[i].value = get_or_0(*request->after, key);
        request->metrics[i].status = OK;
    }
    return enter(__func__, (*request->after)->where);
}

/* What peers ask besides. */
#define ABSENT(name) int name(void) { return UNSUPPORTED; }
ABSENT(nvmlDeviceGetComputeMode) ABSENT(nvmlDeviceGetDisplayMode) ABSENT(nvmlDeviceGetDisplayActive)
ABSENT(nvmlDeviceGetPersistenceMode) ABSENT(nvmlDeviceGetCudaComputeCapability) ABSENT(nvmlDeviceGetSerial)
ABSENT(nvmlDeviceGetCurrentDriverModel) ABSENT(nvmlDeviceGetDriverModel) ABSENT(nvmlDeviceGetMemoryBusWidth)
