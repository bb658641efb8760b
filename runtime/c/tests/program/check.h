/* What the parts of the test program share: checks, files, guarded buffers. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitat.h"

/* Ends the program with the line of a check that does not hold. */
#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

/* Asserts the status of a call, and remembers that this status was seen. */
#define EXPECT(status, call)                                                         \
    do {                                                                             \
        bitat_status got_ = (call);                                                  \
        if (got_ != (status)) {                                                      \
            fprintf(stderr, "%s:%d: %s gave %d (%s)\n", __FILE__, __LINE__, #call,   \
                    (int)got_, bitat_status_string(got_));                           \
            exit(1);                                                                 \
        }                                                                            \
        seen[got_] = 1;                                                              \
    } while (0)

enum { STATUSES = 64, GUARD = 64 };

/* By status: whether a call has given it. */
extern unsigned char seen[STATUSES];

/* Bytes between two guards, at a multiple of 16. */
typedef struct {
    uint8_t *memory;
    uint8_t *bytes;
    size_t length;
} guarded;

/* Everything in it, and the guards, hold a pattern. */
guarded guarded_new(size_t length);

/* The bytes of a file. */
guarded guarded_file(const char *path);

/* Asserts that both guards are as they were. */
void guarded_check(const guarded *buffer);

/* Asserts that nothing at all was written. */
void guarded_untouched(const guarded *buffer);

void guarded_free(guarded *buffer);

/* Puts the checksum of a packed file right again. */
void seal(uint8_t *model, size_t length);

int scores(const char *model, const char *images);
int refusals(const char *model, const char *nameless, const char *many_tensors);
int damage(const char *model, unsigned rounds, uint64_t seed);
int threads(const char *model, const char *images);
int arenas(const char *model, const char *images);

#endif
