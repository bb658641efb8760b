/* Every status but "bug in the library", from every argument that can cause it,
   and nothing written on the way. */
#include "check.h"

/* The same address some bytes on, as a pointer to T. */
#define SHIFTED(T, pointer, bytes) ((T *)(void *)((uint8_t *)(void *)(pointer) + (bytes)))

enum { AT_VERSION = 8, AT_FILE_BYTES = 12, AT_LAYERS = 22 };

static void models(const guarded *good, bitat_network *network) {
    guarded copy = guarded_new(good->length + 16);
    uint8_t *bytes = copy.bytes;
    const size_t length = good->length;
    bitat_info info;

#define FRESH() memcpy(bytes, good->bytes, length)
#define REFUSED(status, call)                                                        \
    do {                                                                             \
        EXPECT(status, call);                                                        \
        EXPECT(BITAT_STATUS_NOT_INITIALISED, bitat_query(network, &info));           \
    } while (0)

    for (size_t shift = 1; shift < BITAT_MODEL_ALIGN; shift++) {
        memcpy(bytes + shift, good->bytes, length);
        REFUSED(BITAT_STATUS_MODEL_ALIGNMENT, bitat_init(network, bytes + shift, length, 0));
    }
    memcpy(bytes + BITAT_MODEL_ALIGN, good->bytes, length);
    EXPECT(BITAT_STATUS_OK, bitat_init(network, bytes + BITAT_MODEL_ALIGN, length, 0));
    FRESH();
    EXPECT(BITAT_STATUS_OK, bitat_init(network, bytes, length, 0));
    bytes[0] ^= 1;
    REFUSED(BITAT_STATUS_MODEL_FOREIGN, bitat_init(network, bytes, length, 0));
    FRESH();
    bytes[AT_VERSION]++;
    seal(bytes, length);
    REFUSED(BITAT_STATUS_MODEL_VERSION, bitat_init(network, bytes, length, 0));
    FRESH();
    for (size_t cut = 0; cut < 256; cut++)
        REFUSED(BITAT_STATUS_MODEL_TRUNCATED, bitat_init(network, bytes, cut, 0));
    REFUSED(BITAT_STATUS_MODEL_TRUNCATED, bitat_init(network, bytes, length - 1, 0));
    REFUSED(BITAT_STATUS_MODEL_TRAILING, bitat_init(network, bytes, length + 1, 0));
    bytes[length / 2] ^= 1;
    REFUSED(BITAT_STATUS_MODEL_CHECKSUM, bitat_init(network, bytes, length, 0));
    FRESH();
    memset(bytes + AT_LAYERS, 0, 2);
    seal(bytes, length);
    REFUSED(BITAT_STATUS_MODEL_INVALID, bitat_init(network, bytes, length, 0));
    FRESH();
    memset(bytes + AT_FILE_BYTES, 0xFF, 4);
    REFUSED(BITAT_STATUS_MODEL_LIMIT, bitat_init(network, bytes, length, 0));
    REFUSED(BITAT_STATUS_ISA, bitat_init_isa(network, good->bytes, length, 0, -1));
    REFUSED(BITAT_STATUS_ISA, bitat_init_isa(network, good->bytes, length, 0, 99));
#if defined(__x86_64__)
    REFUSED(BITAT_STATUS_ISA, bitat_init_isa(network, good->bytes, length, 0, BITAT_ISA_NEON));
#else
    REFUSED(BITAT_STATUS_ISA, bitat_init_isa(network, good->bytes, length, 0, BITAT_ISA_AVX2));
#endif
    guarded_free(&copy);
}

static void pointers_of_init(const guarded *good) {
    guarded memory = guarded_new(sizeof(bitat_network) + 8);
    bitat_network *network = (bitat_network *)(void *)memory.bytes;
    const size_t length = good->length;
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_init(NULL, good->bytes, length, 0));
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_init(network, NULL, length, 0));
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_init(network, NULL, 0, 0));
    EXPECT(BITAT_STATUS_MISALIGNED_POINTER,
           bitat_init(SHIFTED(bitat_network, network, 1), good->bytes, length, 0));
    EXPECT(BITAT_STATUS_LENGTH, bitat_init(network, good->bytes, SIZE_MAX, 0));
    EXPECT(BITAT_STATUS_LENGTH, bitat_init(network, good->bytes, SIZE_MAX / 2 + 1, 0));
    EXPECT(BITAT_STATUS_OVERLAP, bitat_init(network, memory.bytes, length, 0));
    EXPECT(BITAT_STATUS_OVERLAP, bitat_init(network, memory.bytes + 8, 4, 0));
    guarded_untouched(&memory);
    guarded_free(&memory);
}

/* Everything that bitat_query, bitat_name and bitat_class_name refuse. */
static void questions(const bitat_network *network, const guarded *good, size_t classes) {
    bitat_network none;
    guarded out = guarded_new(sizeof(bitat_info) + 8);
    bitat_info *info = (bitat_info *)(void *)out.bytes;
    bitat_text *text = (bitat_text *)(void *)out.bytes;
    memset(&none, 0, sizeof none);

    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_query(NULL, info));
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_query(network, NULL));
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_name(NULL, text));
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_name(network, NULL));
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_class_name(NULL, 0, text));
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_class_name(network, 0, NULL));
    EXPECT(BITAT_STATUS_NOT_INITIALISED, bitat_query(&none, info));
    EXPECT(BITAT_STATUS_NOT_INITIALISED, bitat_name(&none, text));
    EXPECT(BITAT_STATUS_NOT_INITIALISED, bitat_class_name(&none, 0, text));
    EXPECT(BITAT_STATUS_MISALIGNED_POINTER,
           bitat_query(SHIFTED(const bitat_network, network, 1), info));
    EXPECT(BITAT_STATUS_MISALIGNED_POINTER, bitat_query(network, SHIFTED(bitat_info, info, 1)));
    EXPECT(BITAT_STATUS_MISALIGNED_POINTER, bitat_name(network, SHIFTED(bitat_text, text, 2)));
    EXPECT(BITAT_STATUS_MISALIGNED_POINTER,
           bitat_class_name(network, 0, SHIFTED(bitat_text, text, 1)));
    EXPECT(BITAT_STATUS_OVERLAP, bitat_query(network, SHIFTED(bitat_info, network, 8)));
    EXPECT(BITAT_STATUS_OVERLAP, bitat_query(network, (bitat_info *)(void *)good->bytes));
    EXPECT(BITAT_STATUS_OVERLAP, bitat_name(network, SHIFTED(bitat_text, network, 16)));
    EXPECT(BITAT_STATUS_NO_NAME, bitat_class_name(network, classes, text));
    EXPECT(BITAT_STATUS_NO_NAME, bitat_class_name(network, SIZE_MAX, text));
    guarded_untouched(&out);
    guarded_free(&out);
}

/* Everything that bitat_run refuses. */
static void runs(const bitat_network *network, const guarded *good, const bitat_info *info) {
    const size_t pixels = info->image_bytes, room = info->arena_bytes;
    const size_t classes = info->classes;
    guarded image = guarded_new(pixels + 16), arena = guarded_new(room + 16);
    guarded given = guarded_new(classes * sizeof(int32_t) + 16);
    int32_t *values = (int32_t *)(void *)given.bytes;
    bitat_network none;
    memset(&none, 0, sizeof none);

#define REFUSES(status, call)                                                        \
    do {                                                                             \
        EXPECT(status, call);                                                        \
        guarded_untouched(&image);                                                   \
        guarded_untouched(&arena);                                                   \
        guarded_untouched(&given);                                                   \
    } while (0)

    const bitat_network *net = network;
    REFUSES(BITAT_STATUS_NULL_POINTER,
            bitat_run(NULL, image.bytes, pixels, arena.bytes, room, values, classes));
    REFUSES(BITAT_STATUS_NULL_POINTER, bitat_run(net, NULL, pixels, arena.bytes, room, values, classes));
    REFUSES(BITAT_STATUS_NULL_POINTER, bitat_run(net, image.bytes, pixels, NULL, room, values, classes));
    REFUSES(BITAT_STATUS_NULL_POINTER,
            bitat_run(net, image.bytes, pixels, arena.bytes, room, NULL, classes));
    REFUSES(BITAT_STATUS_NOT_INITIALISED,
            bitat_run(&none, image.bytes, pixels, arena.bytes, room, values, classes));
    REFUSES(BITAT_STATUS_MISALIGNED_POINTER,
            bitat_run(SHIFTED(const bitat_network, net, 2), image.bytes, pixels, arena.bytes, room,
                values, classes));
    REFUSES(BITAT_STATUS_MISALIGNED_POINTER,
            bitat_run(net, image.bytes, pixels, arena.bytes, room, SHIFTED(int32_t, values, 2), classes));
    const size_t wrong[] = {0, 1, pixels - 1, pixels + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        REFUSES(BITAT_STATUS_IMAGE_LENGTH,
                bitat_run(net, image.bytes, wrong[i], arena.bytes, room, values, classes));
    REFUSES(BITAT_STATUS_ARENA_LENGTH,
            bitat_run(net, image.bytes, pixels, arena.bytes, room - 1, values, classes));
    REFUSES(BITAT_STATUS_ARENA_LENGTH,
            bitat_run(net, image.bytes, pixels, arena.bytes, 0, values, classes));
    REFUSES(BITAT_STATUS_SCORES_LENGTH,
            bitat_run(net, image.bytes, pixels, arena.bytes, room, values, classes - 1));
    for (size_t shift = 1; shift < BITAT_ARENA_ALIGN; shift++)
        REFUSES(BITAT_STATUS_ARENA_ALIGNMENT,
                bitat_run(net, image.bytes, pixels, arena.bytes + shift, room, values, classes));
    REFUSES(BITAT_STATUS_OVERLAP,
            bitat_run(net, arena.bytes + room - 1, pixels, arena.bytes, room, values, classes));
    REFUSES(BITAT_STATUS_OVERLAP,
            bitat_run(net, (uint8_t *)(void *)values, pixels, arena.bytes, room, values, classes));
    REFUSES(BITAT_STATUS_OVERLAP, bitat_run(net, image.bytes, pixels, arena.bytes, room,
                                      SHIFTED(int32_t, arena.bytes, room - 4), classes));
    REFUSES(BITAT_STATUS_OVERLAP,
            bitat_run(net, image.bytes, pixels, good->bytes, room, values, classes));
    REFUSES(BITAT_STATUS_OVERLAP, bitat_run(net, image.bytes, pixels, arena.bytes, room,
                                      SHIFTED(int32_t, network, 8), classes));

    /* After all that, and with more room than is needed, it runs; what is not
       needed stays as it was. */
    guarded before = guarded_new(16);
    EXPECT(BITAT_STATUS_OK,
           bitat_run(net, image.bytes, pixels, arena.bytes, room + 16, values, classes + 4));
    guarded_untouched(&image);
    CHECK(memcmp(arena.bytes + room, before.bytes, 16) == 0);
    CHECK(memcmp(values + classes, before.bytes, 16) == 0);
    guarded_free(&before);
    guarded_free(&image);
    guarded_free(&arena);
    guarded_free(&given);
}

static void ranks(void) {
    const int32_t values[] = {5, 7, INT32_MIN, 7, INT32_MAX};
    guarded room = guarded_new(8 * sizeof(bitat_ranked));
    bitat_ranked *best = (bitat_ranked *)(void *)room.bytes;
    int32_t *inside = (int32_t *)(void *)room.bytes;
    size_t found = 77;
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_top_k(NULL, 5, best, 3, &found));
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_top_k(values, 5, NULL, 3, &found));
    EXPECT(BITAT_STATUS_NULL_POINTER, bitat_top_k(values, 5, best, 3, NULL));
    EXPECT(BITAT_STATUS_MISALIGNED_POINTER,
           bitat_top_k(SHIFTED(const int32_t, inside, 1), 5, best, 3, &found));
    EXPECT(BITAT_STATUS_MISALIGNED_POINTER,
           bitat_top_k(values, 5, SHIFTED(bitat_ranked, best, 1), 3, &found));
    EXPECT(BITAT_STATUS_MISALIGNED_POINTER,
           bitat_top_k(values, 5, best, 3, SHIFTED(size_t, best, 1)));
    EXPECT(BITAT_STATUS_LENGTH, bitat_top_k(values, SIZE_MAX, best, 3, &found));
    EXPECT(BITAT_STATUS_LENGTH, bitat_top_k(values, 5, best, SIZE_MAX / 8, &found));
    EXPECT(BITAT_STATUS_OVERLAP, bitat_top_k(inside, 5, best, 3, &found));
    EXPECT(BITAT_STATUS_OVERLAP, bitat_top_k(values, 5, best, 3, SHIFTED(size_t, best, 8)));
    EXPECT(BITAT_STATUS_OVERLAP, bitat_top_k(inside, 5, best + 5, 3, SHIFTED(size_t, inside, 8)));
    guarded_untouched(&room);
    CHECK(found == 77);

    EXPECT(BITAT_STATUS_OK, bitat_top_k(values, 5, best, 3, &found));
    CHECK(found == 3);
    CHECK(best[0].index == 4 && best[0].score == INT32_MAX);
    CHECK(best[1].index == 1 && best[1].score == 7);
    CHECK(best[2].index == 3 && best[2].score == 7);
    EXPECT(BITAT_STATUS_OK, bitat_top_k(values, 2, best, 8, &found));
    CHECK(found == 2);
    EXPECT(BITAT_STATUS_OK, bitat_top_k(values, 5, best, 0, &found));
    CHECK(found == 0);
    guarded_free(&room);
}

static void texts(void) {
    for (int32_t status = -1; status <= STATUSES; status++)
        CHECK(strlen(bitat_status_string(status)) > 0);
    CHECK(strcmp(bitat_status_string(BITAT_STATUS_OK), "ok") == 0);
    CHECK(strcmp(bitat_status_string(-1), "unknown status") == 0);
    CHECK(bitat_isa_name(-1) == NULL && bitat_isa_name(99) == NULL);
    CHECK(strcmp(bitat_isa_name(BITAT_ISA_PORTABLE), "portable") == 0);
    printf("version %s\n", bitat_version());
}

int refusals(const char *model_path, const char *nameless_path, const char *many_path) {
    guarded good = guarded_file(model_path), nameless = guarded_file(nameless_path);
    guarded many = guarded_file(many_path);
    bitat_network network;
    bitat_info info;
    bitat_text text;

    texts();
    models(&good, &network);
    pointers_of_init(&good);
    EXPECT(BITAT_STATUS_MODEL_TENSORS, bitat_init(&network, many.bytes, many.length, 0));
    EXPECT(BITAT_STATUS_OK, bitat_init(&network, nameless.bytes, nameless.length, 0));
    EXPECT(BITAT_STATUS_NO_NAME, bitat_class_name(&network, 0, &text));
    EXPECT(BITAT_STATUS_OK, bitat_init(&network, good.bytes, good.length, 0));
    EXPECT(BITAT_STATUS_OK, bitat_query(&network, &info));
    questions(&network, &good, info.classes);
    runs(&network, &good, &info);
    ranks();
    guarded_free(&good);
    guarded_free(&nameless);
    guarded_free(&many);

    /* A code with a text and without a place above is one that nobody tried. */
    for (int status = 0; status < STATUSES; status++) {
        int known = strcmp(bitat_status_string(status), "unknown status") != 0;
        if (known && status != BITAT_STATUS_INTERNAL && !seen[status]) {
            fprintf(stderr, "no call gave %d (%s)\n", status, bitat_status_string(status));
            return 1;
        }
    }
    return 0;
}
