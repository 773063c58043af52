/*
 * Batch: records that a poll or take has copied out, and what is in them.
 */
#ifndef DRIVER_BATCH_H
#define DRIVER_BATCH_H

#include "line.h"

static tr_handle region, producer, consumer;

static uint8_t *records;
static uint64_t records_room = 1 << 16;

typedef int64_t read_call(tr_handle, uint8_t *, uint64_t, uint64_t, uint64_t *, uint64_t *);

/* Polls or takes; the buffer grows when a message needs it. */
static int64_t read_records(read_call *call, uint64_t limit, uint64_t *used, uint64_t *lost) {
    for (;;) {
        records = checked(realloc(records, records_room));
        int64_t count = call(consumer, records, records_room, limit, used, lost);
        if (count != TR_ERR_TOO_LARGE) {
            return count;
        }
        records_room = *used;
    }
}

struct message {
    uint64_t sequence;
    uint32_t type, length, pid;
    uint16_t runtime, flags, delivery_count;
    const uint8_t *payload;
};

/* Reads one record; returns the next. */
static const uint8_t *message_of(const uint8_t *record, struct message *message) {
    memcpy(&message->sequence, record, 8);
    memcpy(&message->type, record + 16, 4);
    memcpy(&message->length, record + 20, 4);
    memcpy(&message->pid, record + 24, 4);
    memcpy(&message->runtime, record + 28, 2);
    memcpy(&message->flags, record + 30, 2);
    memcpy(&message->delivery_count, record + 32, 2);
    message->payload = record + TR_RECORD_HEADER_BYTES;
    return message->payload + ((message->length + 7) & ~UINT32_C(7));
}

#endif
