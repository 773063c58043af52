/*
 * The C driver: one JSON object a line in, one out. `../README.md` has the protocol.
 *
 * It uses nothing but the header. Requests are flat objects of a trusted parent, so a field is found by its quoted name,
 * and a string ends at the next quote. An answer is put together in one buffer and leaves with one system call: a line
 * that a kill cuts off is no line.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tailrace.h"

#define SPREAD UINT64_C(0x9E3779B97F4A7C15)
#define KEY_BYTES 16

static tr_handle region, producer, consumer;

/* ---- text ---- */

static char *text;
static size_t text_length, text_room;

static void *checked(void *memory) {
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static void room_for(size_t bytes) {
    if (text_length + bytes > text_room) {
        text_room = (text_length + bytes) * 2;
        text = checked(realloc(text, text_room));
    }
}

static void put(const char *form, ...) {
    va_list values, again;
    va_start(values, form);
    va_copy(again, values);
    size_t length = (size_t)vsnprintf(NULL, 0, form, values);
    room_for(length + 1);
    text_length += (size_t)vsnprintf(text + text_length, length + 1, form, again);
    va_end(again);
    va_end(values);
}

static void put_hex(const uint8_t *bytes, size_t length) {
    room_for(length * 2);
    for (size_t index = 0; index < length; index++) {
        text[text_length++] = "0123456789abcdef"[bytes[index] >> 4];
        text[text_length++] = "0123456789abcdef"[bytes[index] & 15];
    }
}

static void put_quoted(const char *string) {
    put("\"");
    for (; *string != 0; string++) {
        unsigned char byte = (unsigned char)*string;
        put(byte < 0x20 ? "\\u%04x" : byte == '"' || byte == '\\' ? "\\%c" : "%c", byte);
    }
    put("\"");
}

/* Sends the line. Nobody listens any more: the program ends with its stdin. */
static void say(void) {
    put("\n");
    for (size_t done = 0; done < text_length;) {
        ssize_t written = write(1, text + done, text_length - done);
        if (written <= 0) {
            break;
        }
        done += (size_t)written;
    }
    text_length = 0;
}

/* ---- requests ---- */

static const char *request;

/* The value of a field, or NULL. */
static const char *field(const char *name) {
    char quoted[40];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *found = strstr(request, quoted);
    return found == NULL ? NULL : found + strlen(quoted) + strspn(found + strlen(quoted), " ");
}

static uint64_t number(const char *name, uint64_t otherwise) {
    const char *value = field(name);
    return value == NULL ? otherwise : strtoull(value, NULL, 10);
}

static bool is_set(const char *name) {
    const char *value = field(name);
    return value != NULL && strncmp(value, "true", 4) == 0;
}

/* A string field; valid until this name's next use. */
static const char *string(const char *name, char *buffer, size_t room) {
    const char *value = field(name);
    size_t length = value != NULL && *value == '"' ? strcspn(value + 1, "\"") : 0;
    if (length >= room) {
        length = room - 1;
    }
    memcpy(buffer, length > 0 ? value + 1 : "", length);
    buffer[length] = 0;
    return buffer;
}

static bool is_string(const char *name, const char *wanted) {
    char buffer[32];
    return strcmp(string(name, buffer, sizeof buffer), wanted) == 0;
}

static int64_t timeout_ns(void) {
    return field("timeout_ms") == NULL ? TR_FOREVER : (int64_t)number("timeout_ms", 0) * 1000000;
}

static int digit(char character) {
    return character <= '9' ? character - '0' : character - 'a' + 10;
}

/* The bytes of a hex string that begins behind a quote; returns where it ends. */
static const char *bytes_of(const char *hex, uint8_t *bytes, uint64_t *length) {
    uint64_t count = 0;
    for (; hex[0] != '"' && hex[1] != '"'; hex += 2) {
        bytes[count++] = (uint8_t)(digit(hex[0]) << 4 | digit(hex[1]));
    }
    *length = count;
    return hex;
}

/* ---- batches ---- */

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

static int64_t read_messages(read_call *call) {
    uint64_t used = 0, lost = 0;
    int64_t count = read_records(call, number("limit", 256), &used, &lost);
    if (count < 0) {
        return count;
    }
    put(",\"lost\":%" PRIu64 ",\"messages\":[", lost);
    const uint8_t *next = records;
    for (int64_t index = 0; index < count; index++) {
        struct message message;
        next = message_of(next, &message);
        put("%s{\"sequence\":\"%" PRIu64 "\",\"type\":%" PRIu32 ",\"payload\":\"", index > 0 ? "," : "", message.sequence,
            message.type);
        put_hex(message.payload, message.length);
        put("\",\"pid\":%" PRIu32 ",\"runtime\":%u,\"redelivered\":%s,\"delivery_count\":%u}", message.pid,
            message.runtime, message.flags & TR_MESSAGE_REDELIVERED ? "true" : "false", message.delivery_count);
    }
    put("]");
    return count;
}

static int64_t write_messages(void) {
    const char *next = field("payloads");
    if (next == NULL) {
        return TR_ERR_ARGUMENT;
    }
    size_t room = strlen(next), count = 0;
    uint8_t *bytes = checked(malloc(room)), *end = bytes;
    const uint8_t **payloads = checked(malloc(room * sizeof *payloads));
    uint64_t *lengths = checked(malloc(room * sizeof *lengths));
    for (next++; *next != ']'; next++) {
        if (*next == '"') {
            payloads[count] = end;
            next = bytes_of(next + 1, end, &lengths[count]);
            end += lengths[count++];
        }
    }
    uint32_t type = (uint32_t)number("type", 0);
    int64_t taken = count == 1 ? tr_write(producer, payloads[0], lengths[0], type)
                               : tr_write_batch(producer, payloads, lengths, count, type);
    free(lengths);
    free(payloads);
    free(bytes);
    return taken;
}

static int64_t send_message(void) {
    const char *hex = field("payload");
    if (hex == NULL) {
        return TR_ERR_ARGUMENT;
    }
    uint64_t length = 0;
    uint8_t *bytes = checked(malloc(strlen(hex)));
    bytes_of(hex + 1, bytes, &length);
    int64_t sequence = tr_send(producer, bytes, length, (uint32_t)number("type", 0), timeout_ns());
    free(bytes);
    return sequence;
}

/* ---- load ---- */

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
    uint32_t batch = (uint32_t)number("batch", 1), done = 0;
    uint64_t size = number("size", KEY_BYTES);
    uint8_t *payloads = checked(malloc((size_t)size * batch));
    int64_t wrote = 0;
    while (done < count && wrote >= 0) {
        uint32_t next = count - done < batch ? count - done : batch;
        for (uint32_t index = 0; index < next; index++) {
            fill(payloads + index * size, run, done + index, size);
        }
        wrote = tr_write_strided(producer, payloads, size, size, next, 1);
        if (wrote == 0) {
            int64_t sequence = tr_send(producer, payloads, size, 1, 100000000);
            wrote = sequence == TR_ERR_TIMED_OUT ? 0 : sequence < 0 ? sequence : 1;
        }
        if (wrote > 0) {
            put("{\"wrote\":[%" PRIu32 ",%" PRIu32 ",%" PRId64 "]}", run, done, wrote);
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

/* ---- operations ---- */

static int64_t run_open(void) {
    char path[4096];
    uint32_t flags = field("recovery") != NULL && !is_set("recovery") ? TR_OPEN_NO_RECOVERY : 0;
    uint32_t offset = (uint32_t)number("payload_offset", TR_FOREIGN_CODE_PAYLOAD_OFFSET);
    tr_close(producer);
    tr_close(consumer);
    tr_region_close(region);
    int64_t opened = tr_region_open(string("path", path, sizeof path), flags, 1000, offset);
    region = opened > 0 ? opened : region;
    put(",\"pid\":%d", (int)getpid());
    return opened;
}

static int64_t run_create_channel(void) {
    char name[128];
    uint32_t flags = is_string("kind", "stream") ? TR_CHANNEL_STREAM : TR_CHANNEL_QUEUE;
    flags |= is_set("exclusive_producer") ? TR_CHANNEL_EXCLUSIVE_PRODUCER : 0;
    flags |= is_set("exclusive_consumer") ? TR_CHANNEL_EXCLUSIVE_CONSUMER : 0;
    flags |= is_set("gated") ? TR_CHANNEL_GATED : 0;
    flags |= is_set("checksum") ? TR_CHANNEL_CHECKSUM : 0;
    flags |= is_string("foreign", "document") ? TR_CHANNEL_FOREIGN_DOCUMENT : 0;
    flags |= is_string("foreign", "code") ? TR_CHANNEL_FOREIGN_CODE : 0;
    return tr_create_channel(region, string("name", name, sizeof name), flags, number("capacity", 0));
}

static int64_t run_open_producer(void) {
    char channel[128], label[64];
    string("channel", channel, sizeof channel);
    int64_t opened = tr_open_producer(region, channel, string("label", label, sizeof label), TR_RUNTIME_C, TR_PIN_NONE);
    producer = opened > 0 ? opened : producer;
    return opened;
}

static int64_t run_open_consumer(void) {
    char channel[128], label[64];
    string("channel", channel, sizeof channel);
    string("label", label, sizeof label);
    int32_t from = is_string("from", "oldest") ? TR_FROM_OLDEST : is_string("from", "latest") ? TR_FROM_LATEST : 0;
    uint32_t flags = is_set("gating") ? TR_CONSUMER_GATING : 0;
    int64_t opened = tr_open_consumer(region, channel, label, TR_RUNTIME_C, from, flags);
    consumer = opened > 0 ? opened : consumer;
    return opened;
}

static int64_t named(const char *name, int64_t answer) {
    put(strcmp(name, "sequence") == 0 ? ",\"%s\":\"%" PRId64 "\"" : ",\"%s\":%" PRId64, name, answer);
    return answer;
}

static int64_t run_wait(void) {
    int64_t ready = tr_wait(consumer, timeout_ns());
    put(",\"ready\":%s", ready > 0 ? "true" : "false");
    return ready;
}

static int64_t run_poll(void) { return read_messages(tr_poll); }
static int64_t run_take(void) { return read_messages(tr_take); }
static int64_t run_write(void) { return named("count", write_messages()); }
static int64_t run_send(void) { return named("sequence", send_message()); }
static int64_t run_release(void) {
    return named("count", tr_release(consumer, field("count") == NULL ? -1 : (int64_t)number("count", 0)));
}
static int64_t run_keep(void) { return named("count", tr_keep(consumer)); }
static int64_t run_depth(void) { return named("depth", tr_depth(consumer)); }
static int64_t run_produce(void) { return named("count", produce()); }
static int64_t run_consume(void) { return named("count", consume()); }
static int64_t run_close_producer(void) { return tr_close(producer); }
static int64_t run_close_consumer(void) { return tr_close(consumer); }

static const struct {
    const char *name;
    int64_t (*run)(void);
} operations[] = {
    {"open", run_open},
    {"create_channel", run_create_channel},
    {"open_producer", run_open_producer},
    {"open_consumer", run_open_consumer},
    {"write", run_write},
    {"send", run_send},
    {"wait", run_wait},
    {"poll", run_poll},
    {"take", run_take},
    {"release", run_release},
    {"keep", run_keep},
    {"depth", run_depth},
    {"close_producer", run_close_producer},
    {"close_consumer", run_close_consumer},
    {"produce", run_produce},
    {"consume", run_consume},
};

static const char *const names[] = {
    "",         "ARGUMENT",  "IO",        "FOREIGN", "VERSION", "CORRUPT",   "TOO_LARGE", "BUSY",      "CLOSED", "UNSUPPORTED",
    "INTERNAL", "NOT_FOUND", "EXISTS",    "NO_SPACE", "DISK_FULL", "GONE",   "FORKED",    "TIMED_OUT", "PERMISSION",
};

static int64_t run_request(void) {
    for (size_t index = 0; index < sizeof operations / sizeof *operations; index++) {
        if (is_string("op", operations[index].name)) {
            return operations[index].run();
        }
    }
    return TR_ERR_ARGUMENT;
}

int main(void) {
    char *line = NULL;
    size_t line_room = 0;
    while (getline(&line, &line_room, stdin) > 0) {
        request = line;
        /* A load says lines of its own, so what belongs to the answer is put behind its beginning afterwards. */
        int64_t answer = run_request();
        char *details = strndup(text == NULL ? "" : text, text_length);
        text_length = 0;
        if (answer >= 0) {
            put("{\"ok\":true%s}", details);
        } else {
            char message[1024];
            tr_last_error(message, sizeof message, NULL);
            put("{\"ok\":false,\"code\":\"ERR_%s\",\"message\":", names[-answer]);
            put_quoted(message);
            put("}");
        }
        free(details);
        say();
    }
    tr_close(producer);
    tr_close(consumer);
    tr_region_close(region);
    return 0;
}
