/*
 * Load: numbered messages that can be checked, written and read as fast as it goes. `../README.md` has their form.
 */
#ifndef DRIVER_LOAD_H
#define DRIVER_LOAD_H

#include <time.h>

#include "batch.h"

/* Without a message for so long, the load is over. */
#define IDLE_NS INT64_C(5000000000)
#define SPREAD UINT64_C(0x9E3779B97F4A7C15)
#define KEY_BYTES 16

static void fill(uint8_t *payload, uint32_t run, uint32_t index, uint64_t size) {
    uint64_t check = ((uint64_t)run << 32 | index) * SPREAD;
    memcpy(payload, &run, 4);
    memcpy(payload + 4, &index, 4);
    memcpy(payload + 8, &check, 8);
    for (uint64_t i = KEY_BYTES; i < size; i++) {
        payload[i] = (uint8_t)(((uint64_t)run + index + i - KEY_BYTES) % 251);
    }
}

static int64_t produce(void) {
    uint32_t run = (uint32_t)number("run", 0), count = (uint32_t)number("count", 0);
    uint32_t batch = (uint32_t)number("batch", 1), first = (uint32_t)number("first", 0), done = 0;
    uint64_t size = number("size", KEY_BYTES);
    uint8_t *payloads = checked(malloc((size_t)size * batch));
    int64_t wrote = 0;
    while (done < count && wrote >= 0) {
        uint32_t next = count - done < batch ? count - done : batch;
        for (uint32_t index = 0; index < next; index++) {
            fill(payloads + index * size, run, first + done + index, size);
        }
        wrote = tr_write_strided(producer, payloads, size, size, next, 1);
        if (wrote == 0) {
            int64_t sequence = tr_send(producer, payloads, size, 1, 100000000);
            wrote = sequence == TR_ERR_TIMED_OUT ? 0 : sequence < 0 ? sequence : 1;
        }
        if (wrote > 0) {
            put("{\"wrote\":[%" PRIu32 ",%" PRIu32 ",%" PRId64 "]}", run, first + done, wrote);
            say();
            done += (uint32_t)wrote;
        }
    }
    free(payloads);
    return wrote < 0 ? wrote : done;
}

/* Whether a message of the load is whole. */
static bool put_seen(const struct message *message) {
    uint32_t run = 0, index = 0;
    bool is_whole = message->length >= KEY_BYTES;
    if (is_whole) {
        memcpy(&run, message->payload, 4);
        memcpy(&index, message->payload + 4, 4);
        uint8_t *wanted = checked(malloc(message->length));
        fill(wanted, run, index, message->length);
        is_whole = memcmp(wanted, message->payload, message->length) == 0;
        free(wanted);
    }
    int again = message->flags & TR_MESSAGE_REDELIVERED ? 1 : 0;
    put("[%" PRIu32 ",%" PRIu32 ",%d]", run, index, again);
    return is_whole;
}

static void tell(int64_t count, uint64_t lost) {
    const uint8_t *next = records;
    int torn = 0;
    put("{\"read\":[");
    for (int64_t index = 0; index < count; index++) {
        struct message message;
        next = message_of(next, &message);
        put(index > 0 ? "," : "");
        torn += put_seen(&message) ? 0 : 1;
    }
    put("],\"lost\":%" PRIu64, lost);
    if (torn > 0) {
        put(",\"torn\":%d", torn);
    }
    put("}");
    say();
}

/* Whether a message is what it should be. */
static bool is_load(const struct message *message, uint32_t run, uint64_t index) {
    static uint8_t *wanted;
    wanted = checked(realloc(wanted, message->length + KEY_BYTES));
    fill(wanted, run, (uint32_t)index, message->length < KEY_BYTES ? KEY_BYTES : message->length);
    return message->sequence == index + 1 && message->length >= KEY_BYTES &&
           memcmp(wanted, message->payload, message->length) == 0;
}

/* Reads the load from a recorded channel, slowly at times, and counts what is not as it should be. */
static int64_t follow(void) {
    uint32_t run = (uint32_t)number("run", 0);
    uint64_t count = number("count", 0), batch = number("batch", 256), span = number("span", 0), used, lost;
    uint64_t next = 0, wrong = 0, far = 0, turns = 0;
    bool was_far = false;
    int64_t nap_ns = (int64_t)number("nap_ms", 0) * 1000000, read = 1;
    srandom((unsigned)getpid());
    while (next < count && read > 0) {
        if (random() % 8 == 0) {
            nanosleep(&(struct timespec){.tv_nsec = random() % (nap_ns + 1)}, NULL);
        }
        bool is_far = tr_depth(consumer) > (int64_t)span;
        far += is_far;
        turns += was_far && !is_far;
        was_far = is_far;
        read = read_records(tr_poll, batch, &used, &lost);
        const uint8_t *record = records;
        for (int64_t index = 0; index < read; index++) {
            struct message message;
            record = message_of(record, &message);
            wrong += is_load(&message, run, next++) ? 0 : 1;
        }
        read = read == 0 ? tr_wait(consumer, IDLE_NS) : read;
    }
    put(",\"count\":%" PRIu64 ",\"wrong\":%" PRIu64 ",\"far\":%" PRIu64 ",\"turns\":%" PRIu64, next, wrong, far,
        turns);
    return read;
}

static int64_t consume(void) {
    uint64_t batch = number("batch", 256), used = 0, lost = 0;
    int64_t idle_ns = (int64_t)number("idle_ms", 1000) * 1000000, count = 0;
    bool is_taking = is_set("take");
    for (;;) {
        int64_t read = read_records(is_taking ? tr_take : tr_poll, batch, &used, &lost);
        if (read == TR_ERR_BUSY) {
            read = tr_release(consumer, -1);
        } else if (read == 0) {
            int64_t ready = tr_wait(consumer, idle_ns);
            if (ready <= 0) {
                return ready < 0 ? ready : count;
            }
        } else if (read > 0) {
            count += read;
            tell(read, lost);
            read = is_taking ? tr_release(consumer, -1) : 0;
        }
        if (read < 0) {
            return read;
        }
    }
}

#endif
