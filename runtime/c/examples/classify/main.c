/*
 * Classifies one image: classify MODEL IMAGE [ISA]
 *
 * MODEL is a packed file, IMAGE the raw pixels of one image, 0 to 255 in the
 * order row, column, channel. ISA is scalar, portable, neon,
 * neon+dotprod, avx2, avx2+vnni or avx512.
 *
 * It reads files, as a computer does. Firmware holds the model in flash instead
 * (`bitat export MODEL --c model.h`) and its buffers in static memory, whose
 * sizes model.h names; the three calls in the middle are the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitat.h"

enum { BEST = 3 };

/* A static network begins as all zero, so that too early a call is refused. */
static bitat_network network;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void require(const char *what, bitat_status status) {
    if (status != BITAT_STATUS_OK)
        fail(what, bitat_status_string(status));
}

/* A multiple of BITAT_ARENA_ALIGN at which every vector lies in one cache line. */
#define LINE 64

/* Memory at a multiple of LINE, which malloc does not promise. It is kept until
   the program ends. */
static uint8_t *allocate(size_t bytes) {
    uint8_t *memory = malloc(bytes + LINE - 1);
    if (memory == NULL)
        fail("memory", "not enough");
    return memory + (LINE - (uintptr_t)memory % LINE) % LINE;
}

static uint8_t *read_file(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    uint8_t *contents;
    long length;
    if (file == NULL)
        fail(path, "cannot be opened");
    if (fseek(file, 0, SEEK_END) != 0 || (length = ftell(file)) < 0 ||
        fseek(file, 0, SEEK_SET) != 0)
        fail(path, "is no ordinary file");
    *bytes = (size_t)length;
    contents = allocate(*bytes);
    if (fread(contents, 1, *bytes, file) != *bytes)
        fail(path, "cannot be read");
    fclose(file);
    return contents;
}

/* The code of an instruction set; the best one if no name is given. */
static int32_t isa_of(const char *name) {
    int32_t isa = BITAT_ISA_BEST;
    if (name == NULL)
        return isa;
    for (; bitat_isa_name(isa) != NULL; isa++)
        if (strcmp(bitat_isa_name(isa), name) == 0)
            return isa;
    fail(name, "no such instruction set");
    return -1;
}

static void print_class(bitat_ranked ranked, float scale) {
    bitat_text name;
    if (bitat_class_name(&network, ranked.index, &name) == BITAT_STATUS_OK)
        printf("%-20.*s", (int)name.length, name.bytes);
    else
        printf("class %-14lu", (unsigned long)ranked.index);
    printf(" %8.3f  (score %ld)\n", (double)((float)ranked.score * scale),
           (long)ranked.score);
}

int main(int count, char **arguments) {
    size_t model_bytes, image_bytes, found;
    bitat_info info;
    bitat_ranked best[BEST];
    if (count < 3 || count > 4) {
        fprintf(stderr, "usage: classify MODEL IMAGE [ISA]\n");
        return 2;
    }
    const char *model_path = arguments[1], *image_path = arguments[2];
    const uint8_t *model = read_file(model_path, &model_bytes);
    const uint8_t *image = read_file(image_path, &image_bytes);
    const int32_t isa = isa_of(count == 4 ? arguments[3] : NULL);

    /* A computer has memory for whole layers, firmware says sizeof arena. */
    require(model_path, bitat_init_isa(&network, model, model_bytes, SIZE_MAX, isa));
    require(model_path, bitat_query(&network, &info));
    uint8_t *arena = allocate(info.arena_bytes);
    int32_t *scores = (int32_t *)(void *)allocate(info.classes * sizeof *scores);
    require(image_path, bitat_run(&network, image, image_bytes, arena, info.arena_bytes,
                                  scores, info.classes));

    require("ranking", bitat_top_k(scores, info.classes, best, BEST, &found));
    printf("bitat %s, %s kernels, %lu bytes of arena\n", bitat_version(),
           bitat_isa_name(info.isa), (unsigned long)info.arena_bytes);
    for (size_t i = 0; i < found; i++)
        print_class(best[i], info.score_scale);
    return EXIT_SUCCESS;
}
