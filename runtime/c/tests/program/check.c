#include "check.h"

unsigned char seen[STATUSES];

enum { PATTERN = 0xA5, HEADER_BYTES = 48, CHECKSUM_AT = 16 };

guarded guarded_new(size_t length) {
    guarded result;
    size_t all = length + 2 * GUARD;
    result.length = length;
    result.memory = malloc(all + 15);
    CHECK(result.memory != NULL);
    result.bytes = result.memory + (16 - (uintptr_t)result.memory % 16) % 16 + GUARD;
    memset(result.bytes - GUARD, PATTERN, all);
    return result;
}

guarded guarded_file(const char *path) {
    guarded result;
    long length;
    FILE *stream = fopen(path, "rb");
    CHECK(stream != NULL);
    CHECK(fseek(stream, 0, SEEK_END) == 0);
    length = ftell(stream);
    CHECK(length >= 0 && fseek(stream, 0, SEEK_SET) == 0);
    result = guarded_new((size_t)length);
    CHECK(fread(result.bytes, 1, result.length, stream) == result.length);
    CHECK(fclose(stream) == 0);
    return result;
}

static void hold_the_pattern(const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        CHECK(bytes[i] == PATTERN);
}

void guarded_check(const guarded *buffer) {
    hold_the_pattern(buffer->bytes - GUARD, GUARD);
    hold_the_pattern(buffer->bytes + buffer->length, GUARD);
}

void guarded_untouched(const guarded *buffer) {
    hold_the_pattern(buffer->bytes - GUARD, buffer->length + 2 * GUARD);
}

void guarded_free(guarded *buffer) {
    guarded_check(buffer);
    free(buffer->memory);
}

/* CRC-32 as in zlib, bit by bit. */
static uint32_t crc32(uint32_t crc, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return crc;
}

void seal(uint8_t *model, size_t length) {
    uint32_t crc;
    if (length < HEADER_BYTES)
        return;
    crc = crc32(0xFFFFFFFFu, model, CHECKSUM_AT);
    crc = ~crc32(crc, model + CHECKSUM_AT + 4, length - CHECKSUM_AT - 4);
    for (int i = 0; i < 4; i++)
        model[CHECKSUM_AT + i] = (uint8_t)(crc >> 8 * i);
}
