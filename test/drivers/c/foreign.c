/*
 * A foreign program: knows nothing but the published layout (offsets below), makes queues of its own and shares ours.
 *
 *     foreign make  PATH CHANNELS CAPACITY         a region without annex
 *     foreign write PATH CHANNEL OFFSET COUNT RUN  COUNT messages of the load (../README.md), of all lengths
 *     foreign read  PATH CHANNEL OFFSET COUNT      COUNT messages; 0: until SIGTERM
 *     foreign claim PATH CHANNEL                   claims a position, says which, and never writes it
 *     foreign hold  PATH CHANNEL                   takes a position, says which, and never releases it
 *
 * OFFSET is where payloads begin: 48 (its code, up to 1,024 bytes) or 64 (its document, up to 960). It does not say that
 * it sleeps and sleeps without a time-out, does not say when it makes room, and leaves rubbish in what is padding to it.
 * It says what drivers say under load: {"wrote":[run, first, count]}, {"read":[[run, index, 0], ...]}.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    HEADER_BYTES = 98432, ENTRIES = 128, ENTRY_BYTES = 384, CHANNELS_MAX = 256,
    ENTRY_CAPACITY = 8, ENTRY_BAND = 16, ENTRY_SIGNAL = 24, ENTRY_TAIL = 128, ENTRY_HEAD = 256,
    SLOT_BYTES = 1088, SLOT_ID = 8, SLOT_TIME = 16, SLOT_CHANNEL = 24, SLOT_TYPE = 28, SLOT_PID = 32,
    SLOT_RUNTIME = 36, SLOT_FLAGS = 38, SLOT_LENGTH = 40, SLOT_PADDING = 44,
    KEY_BYTES = 16, TYPE = 7, RUNTIME = 9, SAID_AT_ONCE = 256,
};
#define MAGIC UINT64_C(0x444D58505F4D454D)
#define SPREAD UINT64_C(0x9E3779B97F4A7C15)

static uint8_t *base;
static volatile sig_atomic_t is_over;

#define U16(at) (*(uint16_t *)(at))
#define U32(at) (*(uint32_t *)(at))
#define U64(at) (*(uint64_t *)(at))
#define WORD(at) ((_Atomic uint64_t *)(at))

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void *map(int file, uint64_t bytes) {
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) {
        die("mmap");
    }
    return mapped;
}

static void make(const char *path, uint32_t channels, uint64_t capacity) {
    uint64_t bytes = HEADER_BYTES + channels * capacity * SLOT_BYTES;
    int file = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (file < 0 || posix_fallocate(file, 0, (off_t)bytes) != 0) {
        die(path);
    }
    base = map(file, bytes);
    U32(base + 8) = 1;
    U32(base + 12) = CHANNELS_MAX;
    U32(base + 16) = channels;
    for (uint32_t channel = 0; channel < channels; channel++) {
        uint8_t *entry = base + ENTRIES + channel * ENTRY_BYTES;
        U32(entry) = channel;
        U64(entry + ENTRY_CAPACITY) = capacity;
        U64(entry + ENTRY_BAND) = HEADER_BYTES + channel * capacity * SLOT_BYTES;
        for (uint64_t index = 0; index < capacity; index++) {
            U64(base + U64(entry + ENTRY_BAND) + index * SLOT_BYTES) = index;
        }
    }
    atomic_store_explicit(WORD(base), MAGIC, memory_order_release);
}

/* One queue, as the published layout describes it. */
struct queue {
    uint32_t channel;
    uint64_t capacity;
    uint8_t *entry, *band;
    _Atomic uint32_t *signal;
};

static struct queue attach(const char *path, uint32_t channel) {
    int file = open(path, O_RDWR);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        die(path);
    }
    base = map(file, (uint64_t)status.st_size);
    uint8_t *entry = base + ENTRIES + channel * ENTRY_BYTES;
    return (struct queue){channel, U64(entry + ENTRY_CAPACITY), entry, base + U64(entry + ENTRY_BAND),
                          (_Atomic uint32_t *)(entry + ENTRY_SIGNAL)};
}

static uint8_t *slot_of(const struct queue *queue, uint64_t position) {
    return queue->band + (position & (queue->capacity - 1)) * SLOT_BYTES;
}

/* Claims the next position whose slot says `ready` above it, by moving a cursor; false: there is none. */
static bool claim(const struct queue *queue, uint64_t cursor_offset, uint64_t ready, uint64_t *claimed) {
    _Atomic uint64_t *cursor = WORD(queue->entry + cursor_offset);
    for (;;) {
        uint64_t position = atomic_load_explicit(cursor, memory_order_acquire);
        uint64_t sequence = atomic_load_explicit(WORD(slot_of(queue, position)), memory_order_acquire);
        int64_t distance = (int64_t)(sequence - (position + ready));
        if (distance < 0) {
            return false;
        }
        if (distance == 0 && atomic_compare_exchange_strong(cursor, &position, position + 1)) {
            *claimed = position;
            return true;
        }
    }
}

static void fill(uint8_t *payload, uint32_t run, uint32_t index, uint32_t size) {
    U32(payload) = run;
    U32(payload + 4) = index;
    U64(payload + 8) = ((uint64_t)run << 32 | index) * SPREAD;
    for (uint32_t i = KEY_BYTES; i < size; i++) {
        payload[i] = (uint8_t)(((uint64_t)run + index + i - KEY_BYTES) % 251);
    }
}

static uint32_t longest(uint64_t offset) {
    return offset == 64 ? 960 : 1024;
}

static void write_one(const struct queue *queue, uint64_t offset, uint32_t run, uint32_t index) {
    uint64_t position;
    while (!claim(queue, ENTRY_TAIL, 0, &position)) {
        sched_yield();
    }
    uint8_t *slot = slot_of(queue, position);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint32_t size = KEY_BYTES + index * 37 % (longest(offset) - KEY_BYTES + 1);
    U64(slot + SLOT_ID) = position;
    U64(slot + SLOT_TIME) = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    U32(slot + SLOT_CHANNEL) = queue->channel;
    U32(slot + SLOT_TYPE) = TYPE;
    U32(slot + SLOT_PID) = (uint32_t)getpid();
    U16(slot + SLOT_RUNTIME) = RUNTIME;
    U16(slot + SLOT_FLAGS) = 0;
    U32(slot + SLOT_LENGTH) = size;
    memset(slot + SLOT_PADDING, 0xA5, offset - SLOT_PADDING);
    fill(slot + offset, run, index, size);
    atomic_store_explicit(WORD(slot), position + 1, memory_order_release);
    atomic_fetch_add(queue->signal, 1);
    syscall(SYS_futex, queue->signal, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void write_all(const char *path, uint32_t channel, uint64_t offset, uint32_t count, uint32_t run) {
    struct queue queue = attach(path, channel);
    for (uint32_t index = 0; index < count; index++) {
        write_one(&queue, offset, run, index);
        if (index % SAID_AT_ONCE == SAID_AT_ONCE - 1 || index == count - 1) {
            uint32_t first = index - index % SAID_AT_ONCE;
            printf("{\"wrote\":[%" PRIu32 ",%" PRIu32 ",%" PRIu32 "]}\n", run, first, index - first + 1);
        }
    }
    printf("{\"ok\":true,\"count\":%" PRIu32 "}\n", count);
}

struct seen {
    uint32_t run, index;
    bool is_whole;
};

/* Reads one message, when there is one. */
static bool read_one(const struct queue *queue, uint64_t offset, struct seen *seen) {
    static uint8_t wanted[1024];
    uint64_t position;
    if (!claim(queue, ENTRY_HEAD, 1, &position)) {
        return false;
    }
    uint8_t *slot = slot_of(queue, position), *payload = slot + offset;
    uint32_t size = U32(slot + SLOT_LENGTH);
    *seen = (struct seen){U32(payload), U32(payload + 4), false};
    if (size >= KEY_BYTES && size <= longest(offset) && U64(slot + SLOT_ID) == position &&
        U32(slot + SLOT_CHANNEL) == queue->channel) {
        fill(wanted, seen->run, seen->index, size);
        seen->is_whole = memcmp(wanted, payload, size) == 0;
    }
    atomic_store_explicit(WORD(slot), position + queue->capacity, memory_order_release);
    return true;
}

static void tell(const struct seen *seen, uint32_t count) {
    uint32_t torn = 0;
    for (uint32_t at = 0; at < count; at++) {
        printf("%s[%" PRIu32 ",%" PRIu32 ",0]", at == 0 ? "{\"read\":[" : ",", seen[at].run, seen[at].index);
        torn += seen[at].is_whole ? 0 : 1;
    }
    if (count > 0) {
        printf("],\"torn\":%" PRIu32 "}\n", torn);
        fflush(stdout);
    }
}

static void end(int signal) {
    (void)signal;
    is_over = 1;
}

static void read_all(const char *path, uint32_t channel, uint64_t offset, uint32_t count) {
    struct queue queue = attach(path, channel);
    struct sigaction action = {.sa_handler = end};
    struct seen seen[SAID_AT_ONCE];
    uint32_t done = 0, here = 0, slept = 0;
    sigaction(SIGTERM, &action, NULL);
    while (!is_over && (count == 0 || done < count)) {
        uint32_t word = atomic_load(queue.signal);
        if (read_one(&queue, offset, &seen[here])) {
            here++;
            done++;
        } else {
            tell(seen, here);
            here = 0;
            slept += syscall(SYS_futex, queue.signal, FUTEX_WAIT, word, NULL, NULL, 0) == 0;
        }
        if (here == SAID_AT_ONCE) {
            tell(seen, here);
            here = 0;
        }
    }
    tell(seen, here);
    printf("{\"ok\":true,\"count\":%" PRIu32 ",\"slept\":%" PRIu32 "}\n", done, slept);
}

static void stall(const char *path, uint32_t channel, uint64_t cursor_offset) {
    struct queue queue = attach(path, channel);
    uint64_t position;
    if (!claim(&queue, cursor_offset, cursor_offset == ENTRY_HEAD, &position)) {
        exit(1);
    }
    printf("{\"claimed\":%" PRIu64 "}\n", position);
    fflush(stdout);
    for (;;) {
        pause();
    }
}

int main(int count, char **words) {
    uint64_t numbers[7] = {0};
    for (int at = 3; at < count && at < 7; at++) {
        numbers[at] = strtoull(words[at], NULL, 10);
    }
    if (count == 5 && strcmp(words[1], "make") == 0) {
        make(words[2], (uint32_t)numbers[3], numbers[4]);
    } else if (count == 7 && strcmp(words[1], "write") == 0) {
        write_all(words[2], (uint32_t)numbers[3], numbers[4], (uint32_t)numbers[5], (uint32_t)numbers[6]);
    } else if (count == 6 && strcmp(words[1], "read") == 0) {
        read_all(words[2], (uint32_t)numbers[3], numbers[4], (uint32_t)numbers[5]);
    } else if (count == 4 && strcmp(words[1], "claim") == 0) {
        stall(words[2], (uint32_t)numbers[3], ENTRY_TAIL);
    } else if (count == 4 && strcmp(words[1], "hold") == 0) {
        stall(words[2], (uint32_t)numbers[3], ENTRY_HEAD);
    } else {
        return 2;
    }
    return 0;
}
