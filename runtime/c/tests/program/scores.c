/* Scores, names and ranks of real pictures, printed for a comparison. */
#include "check.h"

static void print_names(const bitat_network *network, size_t classes) {
    bitat_text text;
    EXPECT(BITAT_STATUS_OK, bitat_name(network, &text));
    printf("name %.*s\n", (int)text.length, text.bytes);
    for (size_t i = 0; i < classes; i++) {
        EXPECT(BITAT_STATUS_OK, bitat_class_name(network, i, &text));
        printf("class %.*s\n", (int)text.length, text.bytes);
    }
}

static void print_ranks(const int32_t *values, size_t classes) {
    bitat_ranked best[3];
    size_t found;
    EXPECT(BITAT_STATUS_OK, bitat_top_k(values, classes, best, 3, &found));
    printf("best");
    for (size_t i = 0; i < found; i++)
        printf(" %zu:%ld", best[i].index, (long)best[i].score);
    printf("\n");
}

/* All of it on one instruction set, in an arena that is planned for arena_bytes. */
static void print_all(guarded *copy, const guarded *images, int32_t isa, size_t arena_bytes) {
    guarded memory = guarded_new(sizeof(bitat_network));
    bitat_network *network = (bitat_network *)(void *)memory.bytes;
    bitat_info info;
    bitat_status status = bitat_init_isa(network, copy->bytes, copy->length, arena_bytes, isa);
    if (status == BITAT_STATUS_ISA) {
        printf("isa %s NOT RUN\n", bitat_isa_name(isa));
        guarded_free(&memory);
        return;
    }
    EXPECT(BITAT_STATUS_OK, status);
    EXPECT(BITAT_STATUS_OK, bitat_query(network, &info));
    printf("isa %s %s\n", bitat_isa_name(isa), bitat_isa_name(info.isa));
    CHECK(isa == BITAT_ISA_BEST || info.isa == isa);
    printf("info %zu %zu %zu %zu %zu %zu %zu\n", info.arena_bytes, info.whole_arena_bytes,
           info.image_bytes, info.height, info.width, info.channels, info.classes);
    uint32_t scale;
    memcpy(&scale, &info.score_scale, sizeof scale);
    printf("scale %08lx\n", (unsigned long)scale);
    print_names(network, info.classes);
    CHECK(images->length > 0 && images->length % info.image_bytes == 0);

    guarded arena = guarded_new(info.arena_bytes);
    guarded given = guarded_new(info.classes * sizeof(int32_t));
    int32_t *values = (int32_t *)(void *)given.bytes;
    for (size_t at = 0; at < images->length; at += info.image_bytes) {
        /* A run from a copy of the network is as good as any. */
        bitat_network other = *network;
        EXPECT(BITAT_STATUS_OK,
               bitat_run(at % 2 ? network : &other, images->bytes + at, info.image_bytes,
                         arena.bytes, arena.length, values, info.classes));
        printf("scores");
        for (size_t i = 0; i < info.classes; i++)
            printf(" %ld", (long)values[i]);
        printf("\n");
        print_ranks(values, info.classes);
    }
    guarded_free(&given);
    guarded_free(&arena);
    guarded_free(&memory);
}

int scores(const char *model_path, const char *images_path) {
    guarded model = guarded_file(model_path), images = guarded_file(images_path);
    guarded copy = guarded_new(model.length);
    memcpy(copy.bytes, model.bytes, model.length);

    for (int32_t isa = BITAT_ISA_BEST; bitat_isa_name(isa) != NULL; isa++) {
        print_all(&copy, &images, isa, 0);
        print_all(&copy, &images, isa, SIZE_MAX);
    }
    CHECK(memcmp(copy.bytes, model.bytes, model.length) == 0);
    guarded_free(&copy);
    guarded_free(&model);
    guarded_free(&images);
    return 0;
}
