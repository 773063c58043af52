/*
 * The C driver: one JSON object a line in, one out. `../README.md` has the protocol. It uses nothing but the header.
 */
#define _GNU_SOURCE
#include "batch.h"
#include "line.h"
#include "load.h"

static tr_handle recorder, journal;

/* ---- messages ---- */

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
    uint32_t type = (uint32_t)number("type", 0);
    int64_t sequence = is_string("durability", "wal")
                           ? tr_send_durable(producer, bytes, length, type, TR_LEVEL_WAL, timeout_ns())
                           : tr_send(producer, bytes, length, type, timeout_ns());
    free(bytes);
    return sequence;
}

/* Appends to the log; each payload begins at a multiple of 8. */
static int64_t append_records(void) {
    const char *next = field("payloads");
    if (next == NULL) {
        return TR_ERR_ARGUMENT;
    }
    size_t room = strlen(next) * 8, used = 0, count = 0;
    uint8_t *bytes = checked(calloc(room, 1));
    uint32_t *lengths = checked(malloc(room * sizeof *lengths));
    for (next++; *next != ']'; next++) {
        if (*next == '"') {
            uint64_t length = 0;
            used = (used + 7) & ~(size_t)7;
            next = bytes_of(next + 1, bytes + used, &length);
            lengths[count++] = (uint32_t)length;
            used += length;
        }
    }
    int32_t level = is_string("durability", "memory") ? TR_LEVEL_MEMORY : TR_LEVEL_WAL;
    uint32_t type = (uint32_t)number("type", 0);
    int64_t last = tr_log_append(journal, bytes, used, lengths, count, type, TR_RUNTIME_C, 0, level);
    free(lengths);
    free(bytes);
    return last;
}

/* ---- operations ---- */

static void close_all(void) {
    tr_close(producer);
    tr_close(consumer);
    tr_close(recorder);
    tr_region_close(region);
    tr_close(journal);
}

static int64_t run_open(void) {
    char path[4096];
    uint32_t flags = field("recovery") != NULL && !is_set("recovery") ? TR_OPEN_NO_RECOVERY : 0;
    uint32_t offset = (uint32_t)number("payload_offset", TR_FOREIGN_CODE_PAYLOAD_OFFSET);
    close_all();
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
    flags |= is_set("recorded") ? TR_CHANNEL_RECORDED : 0;
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

/* Where a reader begins. */
static int32_t start(uint64_t *sequence) {
    char from[32];
    string("from", from, sizeof from);
    *sequence = strtoull(from, NULL, 10);
    return *sequence > 0                  ? TR_FROM_SEQUENCE
           : strcmp(from, "oldest") == 0 ? TR_FROM_OLDEST
           : strcmp(from, "latest") == 0 ? TR_FROM_LATEST
                                         : TR_FROM_DEFAULT;
}

static int64_t open_recorded(const char *channel, const char *label, uint32_t flags) {
    char log[4096], group[128];
    uint64_t sequence = 0;
    int32_t from = start(&sequence), level = is_string("level", "wal") ? TR_LEVEL_WAL : TR_LEVEL_MEMORY;
    string("log", log, sizeof log);
    string("group", group, sizeof group);
    return tr_open_recorded(region, channel, label, TR_RUNTIME_C, from, sequence, flags, level,
                            field("log") == NULL ? NULL : log, field("group") == NULL ? NULL : group);
}

static int64_t run_open_consumer(void) {
    char channel[128], label[64];
    string("channel", channel, sizeof channel);
    string("label", label, sizeof label);
    uint64_t sequence = 0;
    int32_t from = start(&sequence);
    uint32_t flags = is_set("gating") ? TR_CONSUMER_GATING : 0;
    bool is_recorded = sequence > 0 || field("level") != NULL || field("log") != NULL || field("group") != NULL;
    int64_t opened = is_recorded ? open_recorded(channel, label, flags)
                                 : tr_open_consumer(region, channel, label, TR_RUNTIME_C, from, flags);
    consumer = opened > 0 ? opened : consumer;
    return opened;
}

static int64_t run_open_reader(void) {
    char path[4096];
    uint64_t sequence = 0;
    int32_t from = start(&sequence);
    uint32_t flags = is_set("durable_only") ? TR_LOG_DURABLE_ONLY : 0;
    from = from == TR_FROM_DEFAULT ? TR_FROM_OLDEST : from;
    int64_t opened = tr_log_reader(string("path", path, sizeof path), from, sequence, flags);
    consumer = opened > 0 ? opened : consumer;
    return opened;
}

static int64_t run_record(void) {
    char channel[128], log[4096];
    string("channel", channel, sizeof channel);
    string("log", log, sizeof log);
    uint64_t size = number("segment_bytes", 0);
    int64_t opened = tr_record(region, channel, log, NULL, TR_RUNTIME_C, size, 0, TR_KEEP_ALL_DAYS, 0);
    recorder = opened > 0 ? opened : recorder;
    return opened;
}

static int64_t run_open_log(void) {
    char path[4096];
    uint64_t size = number("segment_bytes", 0);
    string("path", path, sizeof path);
    int64_t opened = tr_log_open(path, size, 1, 0, 0, TR_KEEP_ALL_DAYS, 0, NULL);
    journal = opened > 0 ? opened : journal;
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
static int64_t run_position(void) { return named("sequence", tr_position(consumer)); }
static int64_t run_seek(void) {
    uint64_t sequence = 0;
    int32_t from = start(&sequence);
    return named("sequence", tr_seek(consumer, from, sequence));
}
static int64_t run_commit(void) { return named("sequence", tr_commit(consumer, timeout_ns())); }
static int64_t run_append(void) { return named("sequence", append_records()); }
static int64_t run_produce(void) { return named("count", produce()); }
static int64_t run_consume(void) { return named("count", consume()); }
static int64_t run_close_producer(void) { return tr_close(producer); }
static int64_t run_close_consumer(void) { return tr_close(consumer); }
static int64_t run_close_recorder(void) { return tr_close(recorder); }
static int64_t run_close_log(void) { return tr_close(journal); }

static const struct {
    const char *name;
    int64_t (*run)(void);
} operations[] = {
    {"open", run_open},
    {"create_channel", run_create_channel},
    {"open_producer", run_open_producer},
    {"open_consumer", run_open_consumer},
    {"open_reader", run_open_reader},
    {"write", run_write},
    {"send", run_send},
    {"wait", run_wait},
    {"poll", run_poll},
    {"take", run_take},
    {"release", run_release},
    {"keep", run_keep},
    {"depth", run_depth},
    {"position", run_position},
    {"seek", run_seek},
    {"commit", run_commit},
    {"record", run_record},
    {"open_log", run_open_log},
    {"append", run_append},
    {"close_producer", run_close_producer},
    {"close_consumer", run_close_consumer},
    {"close_recorder", run_close_recorder},
    {"close_log", run_close_log},
    {"produce", run_produce},
    {"consume", run_consume},
    {"follow", follow},
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
    close_all();
    return 0;
}
