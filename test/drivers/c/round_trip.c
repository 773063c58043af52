/*
 * The C ABI as a C program sees it, with nothing but the header: a queue, a stream, and what each mistake answers.
 *
 *     round_trip PATH      makes a region at PATH and removes it; prints nothing and ends with 0 when all is as it should
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tailrace.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fail(__LINE__, #condition);                                                                                \
        }                                                                                                              \
    } while (0)

static void fail(int line, const char *condition) {
    char text[1024];
    int32_t os_errno = 0;
    tr_last_error(text, sizeof text, &os_errno);
    fprintf(stderr, "line %d: %s; the last error was: %s (errno %d)\n", line, condition, text, os_errno);
    exit(1);
}

static _Alignas(8) uint8_t records[1 << 20];
static uint64_t used, lost;

static int64_t poll_records(tr_handle consumer, uint64_t limit) {
    return tr_poll(consumer, records, sizeof records, limit, &used, &lost);
}

static uint64_t u64_at(uint64_t offset) {
    uint64_t value;
    memcpy(&value, records + offset, sizeof value);
    return value;
}

static uint32_t u32_at(uint64_t offset) {
    uint32_t value;
    memcpy(&value, records + offset, sizeof value);
    return value;
}

static tr_handle producer_of(tr_handle region, const char *channel) {
    tr_handle producer = tr_open_producer(region, channel, "round trip", TR_RUNTIME_C, TR_PIN_NONE);
    CHECK(producer > 0);
    return producer;
}

static tr_handle consumer_of(tr_handle region, const char *channel, int32_t from) {
    tr_handle consumer = tr_open_consumer(region, channel, NULL, TR_RUNTIME_C, from, 0);
    CHECK(consumer > 0);
    return consumer;
}

static void queue(tr_handle region) {
    CHECK(tr_create_channel(region, "orders", TR_CHANNEL_QUEUE, 16) == 0);
    CHECK(tr_create_channel(region, "orders", TR_CHANNEL_QUEUE, 16) == 0);
    CHECK(tr_create_channel(region, "orders", TR_CHANNEL_STREAM, 16) == TR_ERR_EXISTS);
    tr_handle producer = producer_of(region, "orders"), consumer = consumer_of(region, "orders", TR_FROM_DEFAULT);
    int64_t before = tr_now();
    CHECK(tr_write(producer, (const uint8_t *)"hello", 5, 7) == 1);
    CHECK(tr_depth(consumer) == 1 && tr_last_sequence(producer) == 1);
    CHECK(poll_records(consumer, 256) == 1 && used == TR_RECORD_HEADER_BYTES + 8 && lost == 0);
    CHECK(u64_at(0) == 1 && (int64_t)u64_at(8) >= before && (int64_t)u64_at(8) <= tr_now());
    CHECK(u32_at(16) == 7 && u32_at(20) == 5 && u32_at(24) == (uint32_t)getpid());
    CHECK(memcmp(records + TR_RECORD_HEADER_BYTES, "hello\0\0", 8) == 0);
    CHECK(poll_records(consumer, 256) == 0);

    const uint8_t *payloads[] = {(const uint8_t *)"a", NULL, (const uint8_t *)"ccc"};
    const uint64_t lengths[] = {1, 0, 3};
    CHECK(tr_write_batch(producer, payloads, lengths, 3, 0) == 3);
    const uint32_t short_lengths[] = {1, 8};
    CHECK(tr_write_packed(producer, (const uint8_t *)"x.......yyyyyyyy", 16, short_lengths, 2, 0) == 2);
    CHECK(tr_write_packed(producer, (const uint8_t *)"x.......yyyyyyyy", 15, short_lengths, 2, 0) == TR_ERR_ARGUMENT);
    CHECK(tr_write_strided(producer, (const uint8_t *)"1.2.3.4", 2, 1, 4, 0) == 4);
    CHECK(poll_records(consumer, 256) == 9);

    uint8_t many[20] = {0};
    CHECK(tr_write_strided(producer, many, 1, 1, 20, 0) == 16);
    CHECK(tr_write(producer, many, 1, 0) == 0);
    CHECK(tr_send(producer, many, 1, 0, 1000000) == TR_ERR_TIMED_OUT);
    CHECK(tr_wait(producer, 1000000) == 0);
    CHECK(tr_take(consumer, records, sizeof records, 10, &used, &lost) == 10);
    CHECK(tr_take(consumer, records, sizeof records, 10, &used, &lost) == TR_ERR_BUSY);
    CHECK(tr_release(consumer, 11) == TR_ERR_ARGUMENT);
    CHECK(tr_release(consumer, 4) == 4 && tr_keep(consumer) == 6);
    CHECK(tr_wait(producer, TR_FOREVER) == 1);
    CHECK(poll_records(consumer, 1) == 1 && u32_at(28) >> 16 == TR_MESSAGE_REDELIVERED);
    CHECK(tr_close(producer) == 1 && tr_close(producer) == 0 && tr_close(consumer) == 1);
    CHECK(tr_write(producer, many, 1, 0) == TR_ERR_CLOSED);
}

static void stream(tr_handle region) {
    CHECK(tr_create_channel(region, "ticks", TR_CHANNEL_STREAM, 16) == 1);
    tr_handle producer = producer_of(region, "ticks");
    for (uint64_t tick = 0; tick < 10; tick++) {
        CHECK(tr_write(producer, (const uint8_t *)&tick, sizeof tick, 0) == 1);
    }
    tr_handle oldest = consumer_of(region, "ticks", TR_FROM_OLDEST), latest = consumer_of(region, "ticks", TR_FROM_LATEST);
    CHECK(poll_records(oldest, 256) == 10 && u64_at(TR_RECORD_HEADER_BYTES) == 0 && lost == 0);
    CHECK(poll_records(latest, 256) == 0 && tr_wait(latest, 1000000) == 0);
    for (uint64_t tick = 10; tick < 40; tick++) {
        CHECK(tr_write(producer, (const uint8_t *)&tick, sizeof tick, 0) == 1);
    }
    CHECK(poll_records(latest, 256) == 16 && lost == 14 && u64_at(TR_RECORD_HEADER_BYTES) == 24);
    CHECK(tr_take(latest, records, sizeof records, 1, &used, &lost) == TR_ERR_UNSUPPORTED);
    CHECK(tr_close(producer) == 1 && tr_close(oldest) == 1 && tr_close(latest) == 1);
}

static void mistakes(tr_handle region, const char *path) {
    char text[256];
    int32_t os_errno = 0;
    CHECK(tr_region_open("/nowhere/at/all", 0, 1000, 0) == TR_ERR_NOT_FOUND);
    int64_t length = tr_last_error(text, sizeof text, &os_errno);
    CHECK(length == (int64_t)strlen(text) && os_errno == 2 && strstr(text, "/nowhere/at/all") != NULL);
    CHECK(tr_last_error(text, 5, NULL) == length && strlen(text) == 4);
    CHECK(tr_region_create(path, 0, 0, 1000, 0) == TR_ERR_EXISTS);
    CHECK(tr_region_create(NULL, 0, 0, 1000, 0) == TR_ERR_ARGUMENT);
    CHECK(tr_region_open("\xff", 0, 1000, 0) == TR_ERR_ARGUMENT);
    CHECK(tr_region_open(path, 1 << 20, 1000, 0) == TR_ERR_ARGUMENT);
    CHECK(tr_create_channel(region, "odd", TR_CHANNEL_QUEUE, 3) == TR_ERR_ARGUMENT);
    CHECK(tr_open_producer(region, "none", NULL, TR_RUNTIME_C, TR_PIN_NONE) == TR_ERR_NOT_FOUND);
    CHECK(tr_open_consumer(region, "orders", NULL, TR_RUNTIME_C, TR_FROM_LATEST, 0) == TR_ERR_ARGUMENT);
    CHECK(tr_write(region, (const uint8_t *)"x", 1, 0) == TR_ERR_ARGUMENT);
    CHECK(tr_close(region) == TR_ERR_ARGUMENT);
    CHECK(strcmp(tr_error_text(TR_ERR_GONE), "it was removed") == 0 && tr_error_text(1) == NULL);

    tr_handle producer = producer_of(region, "orders"), consumer = consumer_of(region, "orders", TR_FROM_DEFAULT);
    CHECK(tr_region_close(producer) == TR_ERR_ARGUMENT);
    CHECK(tr_write(producer, NULL, 1, 0) == TR_ERR_ARGUMENT);
    CHECK(tr_write(producer, records, UINT64_MAX, 0) == TR_ERR_ARGUMENT);
    CHECK(tr_write_strided(producer, records, UINT64_MAX, 1, 3, 0) == TR_ERR_ARGUMENT);
    CHECK(tr_write(producer, records, 4 * TR_SLOT_PAYLOAD + 1, 0) == TR_ERR_TOO_LARGE);
    while (poll_records(consumer, 256) > 0) {
    }
    CHECK(tr_write(producer, records, 3000, 0) == 1);
    CHECK(tr_poll(consumer, records, 100, 256, &used, &lost) == TR_ERR_TOO_LARGE && used == 3040);
    CHECK(tr_poll(consumer, records, 3040, 256, &used, &lost) == 1 && used == 3040);
    CHECK(tr_stats(region, NULL, 0) > 100 && tr_channels(region, text, sizeof text) > (int64_t)sizeof text);
    CHECK(tr_unblock(region, NULL, 0, text, sizeof text) == 2 && memcmp(text, "[]", 2) == 0);
    CHECK(tr_close(producer) == 1 && tr_close(consumer) == 1);
}

static void *closes_soon(void *handle) {
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    CHECK(tr_close(*(tr_handle *)handle) == 1);
    return NULL;
}

static void waiting(tr_handle region) {
    tr_handle producer = producer_of(region, "orders"), consumer = consumer_of(region, "orders", TR_FROM_DEFAULT);
    int descriptor = eventfd(0, EFD_NONBLOCK);
    struct pollfd readable = {.fd = descriptor, .events = POLLIN};
    CHECK(tr_notify(consumer, descriptor) == 0 && poll(&readable, 1, 30) == 0);
    CHECK(tr_write(producer, (const uint8_t *)"x", 1, 0) == 1 && poll(&readable, 1, 5000) == 1);
    eventfd_t times = 0;
    CHECK(eventfd_read(descriptor, &times) == 0 && times == 1 && poll_records(consumer, 256) == 1);
    CHECK(tr_notify(consumer, descriptor) == 0 && tr_notify(consumer, -1) == 0);
    CHECK(tr_write(producer, (const uint8_t *)"x", 1, 0) == 1 && poll(&readable, 1, 30) == 0);
    CHECK(poll_records(consumer, 256) == 1);
    CHECK(tr_notify(consumer, descriptor) == 0);

    pthread_t closer;
    CHECK(pthread_create(&closer, NULL, closes_soon, &consumer) == 0);
    CHECK(tr_wait(consumer, TR_FOREVER) == TR_ERR_CLOSED);
    CHECK(pthread_join(closer, NULL) == 0);
    CHECK(poll(&readable, 1, 5000) == 1);
    CHECK(tr_close(producer) == 1 && close(descriptor) == 0);
}

int main(int count, char **arguments) {
    CHECK(count == 2);
    const char *path = arguments[1];
    CHECK(tr_layout_hash() == TR_LAYOUT_HASH);
    tr_handle region = tr_region_create(path, 0, 0, 1000, 0);
    CHECK(region > 0);
    queue(region);
    stream(region);
    mistakes(region, path);
    waiting(region);
    CHECK(tr_region_remove(path) == 0);
    CHECK(tr_create_channel(region, "late", TR_CHANNEL_QUEUE, 16) == TR_ERR_GONE);
    CHECK(tr_region_close(region) == 1 && tr_region_close(region) == 0);
    CHECK(tr_stats(region, NULL, 0) == TR_ERR_CLOSED);
    return 0;
}
