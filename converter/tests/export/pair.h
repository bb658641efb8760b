/*
 * Written by `bitat export`: write it again rather than change it.
 * The model itself is in tiny_model.
 */
#ifndef TINY_H
#define TINY_H

#include <stdint.h>

#define TINY_NAME "tiny \"\?\" */"

/* Bytes of the packed file. */
#define TINY_MODEL_BYTES 284

/* Bytes of arena that a run needs: with these bitat_init has layers run by rows. */
#define TINY_ARENA_BYTES 96

/* Bytes of arena with which bitat_init has layers run whole, which is faster. */
#define TINY_WHOLE_ARENA_BYTES 96

/* Tensors, for which a plan needs room. */
#define TINY_TENSORS 2

/* Rows of an image. */
#define TINY_IMAGE_HEIGHT 2

/* Columns of an image. */
#define TINY_IMAGE_WIDTH 3

/* Channels of an image. */
#define TINY_IMAGE_CHANNELS 1

/* Bytes of an image: row, column, channel. */
#define TINY_IMAGE_BYTES 6

/* Scores that a run gives, one per class. */
#define TINY_CLASSES 3

#if defined(BITAT_TENSORS) && TINY_TENSORS > BITAT_TENSORS
#error "this network has more tensors than a bitat_network has room for"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The packed file, at a multiple of 16. */
extern const uint8_t tiny_model[TINY_MODEL_BYTES];

extern const char *const tiny_class_names[TINY_CLASSES];

#ifdef __cplusplus
}
#endif

#endif
