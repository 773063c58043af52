/*
 * Line: what a driver is asked, and what it answers. Both are in static memory: a driver has one thread.
 *
 * Requests are flat objects of a trusted parent, so a field is found by its quoted name, and a string ends at the next
 * quote. An answer is put together in one buffer and leaves with one system call: a line that a kill cuts off is no line.
 */
#ifndef DRIVER_LINE_H
#define DRIVER_LINE_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tailrace.h"

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

#endif
