/* One network, several threads, each with an arena of its own. */
#include <pthread.h>

#include "check.h"

enum { THREADS = 4, ROUNDS = 5 };

typedef struct {
    const bitat_network *network;
    const bitat_info *info;
    const guarded *images;
    int32_t *scores;
} job;

static void *run(void *argument) {
    const job *mine = argument;
    const bitat_info *info = mine->info;
    guarded arena = guarded_new(info->arena_bytes);
    for (size_t i = 0; i < mine->images->length / info->image_bytes; i++)
        CHECK(bitat_run(mine->network, mine->images->bytes + i * info->image_bytes,
                        info->image_bytes, arena.bytes, arena.length,
                        mine->scores + i * info->classes,
                        info->classes) == BITAT_STATUS_OK);
    guarded_free(&arena);
    return NULL;
}

int threads(const char *model_path, const char *images_path) {
    guarded model = guarded_file(model_path), images = guarded_file(images_path);
    bitat_network network;
    bitat_info info;
    EXPECT(BITAT_STATUS_OK, bitat_init(&network, model.bytes, model.length, 0));
    EXPECT(BITAT_STATUS_OK, bitat_query(&network, &info));
    size_t bytes = images.length / info.image_bytes * info.classes * sizeof(int32_t);

    guarded alone = guarded_new(bytes);
    job first = {&network, &info, &images, (int32_t *)(void *)alone.bytes};
    run(&first);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t started[THREADS];
        guarded given[THREADS];
        job jobs[THREADS];
        for (int i = 0; i < THREADS; i++) {
            given[i] = guarded_new(bytes);
            jobs[i] = first;
            jobs[i].scores = (int32_t *)(void *)given[i].bytes;
            CHECK(pthread_create(&started[i], NULL, run, &jobs[i]) == 0);
        }
        for (int i = 0; i < THREADS; i++) {
            CHECK(pthread_join(started[i], NULL) == 0);
            CHECK(memcmp(given[i].bytes, alone.bytes, bytes) == 0);
            guarded_free(&given[i]);
        }
    }
    guarded_free(&alone);
    guarded_free(&model);
    guarded_free(&images);
    return 0;
}
