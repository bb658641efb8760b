/* The two sizes of an arena: what fits them exactly, and what is a byte short. */
#include "check.h"

/* Runs a network in an arena of exactly the bytes that it asks for, after one of a
   byte less is refused. */
static void run_in(const bitat_network *network, const guarded *image, guarded *given,
                   size_t room) {
    bitat_info info;
    EXPECT(BITAT_STATUS_OK, bitat_query(network, &info));
    CHECK(info.arena_bytes == room);
    int32_t *values = (int32_t *)(void *)given->bytes;

    guarded arena = guarded_new(room - 1);
    EXPECT(BITAT_STATUS_ARENA_LENGTH,
           bitat_run(network, image->bytes, info.image_bytes, arena.bytes, arena.length,
                     values, info.classes));
    guarded_untouched(&arena);
    guarded_untouched(given);
    guarded_free(&arena);

    arena = guarded_new(room);
    EXPECT(BITAT_STATUS_OK,
           bitat_run(network, image->bytes, info.image_bytes, arena.bytes, arena.length,
                     values, info.classes));
    guarded_free(&arena);
    guarded_check(given);
}

int arenas(const char *model_path, const char *images_path) {
    guarded model = guarded_file(model_path), images = guarded_file(images_path);
    bitat_network network;
    bitat_info info;
    EXPECT(BITAT_STATUS_OK, bitat_init(&network, model.bytes, model.length, 0));
    EXPECT(BITAT_STATUS_OK, bitat_query(&network, &info));
    const size_t by_rows = info.arena_bytes, whole = info.whole_arena_bytes;
    const size_t bytes = info.classes * sizeof(int32_t);
    printf("by rows %zu, whole %zu\n", by_rows, whole);
    CHECK(by_rows < whole);

    guarded first = guarded_new(bytes);
    run_in(&network, &images, &first, by_rows);
    const size_t sizes[] = {1,         by_rows - 1, by_rows,   by_rows + 1,
                            whole - 1, whole,       whole + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        guarded given = guarded_new(bytes);
        EXPECT(BITAT_STATUS_OK, bitat_init(&network, model.bytes, model.length, sizes[i]));
        EXPECT(BITAT_STATUS_OK, bitat_query(&network, &info));
        CHECK(info.whole_arena_bytes == whole);
        run_in(&network, &images, &given, sizes[i] < whole ? by_rows : whole);
        CHECK(memcmp(given.bytes, first.bytes, bytes) == 0);
        guarded_free(&given);
    }
    guarded_free(&first);
    guarded_free(&model);
    guarded_free(&images);
    return 0;
}
