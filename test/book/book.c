/*
 * Plays a stream of commands, stamped, from standard input; prints what the book says to each 500 of them: commands,
 * events, orders, and the hashes. The room for events is small on purpose. Then it asks for what it must be refused.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tailrace.h"

#define STEP 500
#define ROOM 3

static tr_stamped_command commands[STEP];
static tr_event events[ROOM];
static tr_depth_level levels[4];

static int64_t checked(int64_t answer) {
    if (answer < 0) {
        char text[512];
        tr_last_error(text, sizeof text, NULL);
        fprintf(stderr, "%" PRId64 ": %s\n", answer, text);
        exit(1);
    }
    return answer;
}

static uint64_t fold(uint64_t hash, const tr_event *event) {
    uint64_t words[sizeof *event / sizeof hash];
    memcpy(words, event, sizeof words);
    for (size_t index = 0; index < sizeof words / sizeof *words; index += 1) {
        hash = (hash ^ words[index]) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 32;
    }
    return hash;
}

int main(void) {
    tr_handle book = checked(tr_book_create(500, 8, 64, 0, 0, 0, NULL));
    uint64_t hash = UINT64_C(0xCBF29CE484222325), event_count = 0;
    size_t count;
    tr_book_summary summary;
    while ((count = fread(commands, sizeof *commands, STEP, stdin)) > 0) {
        uint64_t taken = 0;
        int64_t produced;
        do {
            uint64_t consumed;
            const uint8_t *rest = (const uint8_t *)(commands + taken);
            produced = checked(tr_book_apply(book, rest, count - taken, (uint8_t *)events, ROOM, &consumed));
            for (int64_t index = 0; index < produced; index += 1) {
                hash = fold(hash, &events[index]);
            }
            event_count += (uint64_t)produced;
            taken += consumed;
        } while (produced == ROOM);
        checked(tr_book_state(book, (uint8_t *)&summary));
        if (summary.flags & TR_BOOK_PENDING || taken != count) {
            return 2;
        }
        printf("%" PRIu64 " %" PRIu64 " %" PRIu32 " %" PRIu64 " %" PRIu64 "\n", summary.sequence, event_count,
               summary.order_count, hash, summary.state_hash);
    }
    /* A whole snapshot, and the same book from it. */
    uint64_t length = (uint64_t)checked(tr_book_snapshot(book, NULL, 0));
    uint8_t *bytes = malloc(length);
    if (bytes == NULL || checked(tr_book_snapshot(book, bytes, length)) != (int64_t)length) {
        return 3;
    }
    tr_handle again = checked(tr_book_restore(500, 8, 64, NULL, bytes, length));
    tr_book_summary other;
    checked(tr_book_state(again, (uint8_t *)&other));
    if (memcmp(&summary, &other, sizeof summary) != 0) {
        return 4;
    }
    bytes[length / 2] ^= 1;
    if (tr_book_restore(500, 8, 64, NULL, bytes, length) != TR_ERR_CORRUPT) {
        return 5;
    }
    free(bytes);
    int64_t found = checked(tr_book_depth(book, TR_SIDE_BUY, (uint8_t *)levels, 4));
    if (found > 0 && (levels[0].price != summary.bid_price || levels[0].quantity != summary.bid_quantity)) {
        return 6;
    }
    memset(commands, 0, sizeof *commands);
    if (tr_book_apply(book, (uint8_t *)commands, 1, (uint8_t *)events, ROOM, NULL) != TR_ERR_ARGUMENT ||
        tr_book_apply(book, NULL, 1, (uint8_t *)events, ROOM, NULL) != TR_ERR_ARGUMENT ||
        tr_book_depth(book, 3, (uint8_t *)levels, 4) != TR_ERR_ARGUMENT ||
        tr_book_account(book, 8, (uint8_t *)levels) != TR_ERR_ARGUMENT ||
        tr_book_create(0, 8, 64, 0, 0, 0, NULL) != TR_ERR_ARGUMENT) {
        return 7;
    }
    if (tr_close(book) != 1 || tr_close(again) != 1 || tr_book_state(book, (uint8_t *)&summary) != TR_ERR_CLOSED) {
        return 8;
    }
    return 0;
}
