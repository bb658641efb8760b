/* Models with a few bytes changed: each is refused, or runs within its buffers. */
#include "check.h"

/* Largest arena that is tried. */
static const size_t ARENA_MOST = (size_t)1 << 26;

static uint64_t state;

/* xorshift64*: below n. */
static size_t below(size_t n) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (size_t)((state * 0x2545F4914F6CDD1DULL >> 33) % n);
}

static void run(const bitat_network *network) {
    bitat_info info;
    EXPECT(BITAT_STATUS_OK, bitat_query(network, &info));
    if (info.arena_bytes > ARENA_MOST)
        return;
    guarded image = guarded_new(info.image_bytes);
    guarded arena = guarded_new(info.arena_bytes);
    guarded given = guarded_new(info.classes * sizeof(int32_t));
    EXPECT(BITAT_STATUS_OK,
           bitat_run(network, image.bytes, image.length, arena.bytes, arena.length,
                     (int32_t *)(void *)given.bytes, info.classes));
    guarded_untouched(&image);
    guarded_free(&image);
    guarded_free(&arena);
    guarded_free(&given);
}

int damage(const char *path, unsigned rounds, uint64_t seed) {
    guarded model = guarded_file(path);
    unsigned valid = 0, statuses = 0;
    state = seed | 1;
    for (unsigned round = 0; round < rounds; round++) {
        /* A third are cut; most get a good checksum, to come past the header. */
        size_t length = below(3) ? model.length : below(model.length + 1);
        guarded copy = guarded_new(length);
        guarded memory = guarded_new(sizeof(bitat_network));
        bitat_network *network = (bitat_network *)(void *)memory.bytes;
        memcpy(copy.bytes, model.bytes, length);
        for (size_t changes = below(4); length > 0 && changes > 0; changes--) {
            /* Half of them among tables and names, which come first. */
            size_t most = below(2) && length > 2048 ? 2048 : length;
            copy.bytes[below(most)] ^= (uint8_t)(1 + below(255));
        }
        if (below(8))
            seal(copy.bytes, length);
        bitat_status status = bitat_init(network, copy.bytes, copy.length, below(2) ? SIZE_MAX : 0);
        CHECK(status >= 0 && status < STATUSES && status != BITAT_STATUS_INTERNAL);
        seen[status] = 1;
        if (status == BITAT_STATUS_OK) {
            valid++;
            run(network);
        } else {
            bitat_info info;
            EXPECT(BITAT_STATUS_NOT_INITIALISED, bitat_query(network, &info));
        }
        guarded_free(&memory);
        guarded_free(&copy);
    }
    guarded_free(&model);
    for (int i = 0; i < STATUSES; i++)
        statuses += seen[i];
    printf("%u rounds, %u ran, %u statuses\n", rounds, valid, statuses);
    return 0;
}
