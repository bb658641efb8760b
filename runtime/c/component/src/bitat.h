/*
 * Runs packed 1-bit networks: the interface of libbitat.a, C99 and C++11.
 *
 *     static bitat_network network;
 *     bitat_status status = bitat_init(&network, model, sizeof model, sizeof arena);
 *     if (status == BITAT_STATUS_OK)
 *         status = bitat_run(&network, image, sizeof image, arena, sizeof arena,
 *                            scores, CLASSES);
 *
 * `bitat export FILE --c model.h` writes the model, the size of its arena and
 * the numbers beside it. All memory is the caller's: the library allocates
 * nothing, keeps nothing between calls, and may be called from several threads
 * at once. Every function that can fail returns a status and never anything else
 * (no errno, no exception, no jump). Pointers that are null, misaligned, or lead
 * to overlapping buffers are refused; that they lead to as much memory as the
 * caller says is the caller's part.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef BITAT_H
#define BITAT_H

/* Written by a test, from the Rust declarations: change those, then see runtime/c/tests/header.rs. */

#include <stddef.h>
#include <stdint.h>

/**
 * Tensors that a network may have, its image included; MobileNetV2 has fewer
 * than 110. `bitat export` writes the number of yours.
 */
#define BITAT_TENSORS 128

/**
 * Size of a bitat_network in 8-byte words.
 */
#define BITAT_NETWORK_WORDS (BITAT_TENSORS + 13)

/**
 * The arena starts at a multiple of this many bytes; 64 makes it faster where
 * vectors have 64 bytes (AVX-512).
 */
#define BITAT_ARENA_ALIGN 16

/**
 * The model starts at a multiple of this many bytes; 16 makes it faster where
 * the processor has vectors.
 */
#define BITAT_MODEL_ALIGN 4

/**
 * How a call went. Codes are only ever added.
 */
enum bitat_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * All done.
     */
    BITAT_STATUS_OK = 0,
    /**
     * A pointer is null.
     */
    BITAT_STATUS_NULL_POINTER = 1,
    /**
     * A pointer is not aligned for what it points to.
     */
    BITAT_STATUS_MISALIGNED_POINTER = 2,
    /**
     * A buffer would reach past the end of the address space.
     */
    BITAT_STATUS_LENGTH = 3,
    /**
     * A buffer that is written shares bytes with another one.
     */
    BITAT_STATUS_OVERLAP = 4,
    /**
     * The network was not initialised, or its initialisation failed.
     */
    BITAT_STATUS_NOT_INITIALISED = 5,
    /**
     * There is no such instruction set, or this processor cannot run it.
     */
    BITAT_STATUS_ISA = 6,
    /**
     * The model has no such class, or no class names.
     */
    BITAT_STATUS_NO_NAME = 7,
    /**
     * The model does not start at a multiple of BITAT_MODEL_ALIGN.
     */
    BITAT_STATUS_MODEL_ALIGNMENT = 16,
    /**
     * The bytes are no packed network.
     */
    BITAT_STATUS_MODEL_FOREIGN = 17,
    /**
     * The model has a format version that this library does not know.
     */
    BITAT_STATUS_MODEL_VERSION = 18,
    /**
     * The model ends too early.
     */
    BITAT_STATUS_MODEL_TRUNCATED = 19,
    /**
     * There are bytes behind the end of the model.
     */
    BITAT_STATUS_MODEL_TRAILING = 20,
    /**
     * The model's checksum does not match: it is damaged.
     */
    BITAT_STATUS_MODEL_CHECKSUM = 21,
    /**
     * The model breaks a rule of the format.
     */
    BITAT_STATUS_MODEL_INVALID = 22,
    /**
     * The model is larger than the format or this machine's addresses allow.
     */
    BITAT_STATUS_MODEL_LIMIT = 23,
    /**
     * The network has more than BITAT_TENSORS tensors.
     */
    BITAT_STATUS_MODEL_TENSORS = 24,
    /**
     * The image does not have exactly the bytes that the network reads.
     */
    BITAT_STATUS_IMAGE_LENGTH = 32,
    /**
     * The arena is too short.
     */
    BITAT_STATUS_ARENA_LENGTH = 33,
    /**
     * The arena does not start at a multiple of BITAT_ARENA_ALIGN.
     */
    BITAT_STATUS_ARENA_ALIGNMENT = 34,
    /**
     * There is not a score for each class.
     */
    BITAT_STATUS_SCORES_LENGTH = 35,
    /**
     * A bug in the library; please report it.
     */
    BITAT_STATUS_INTERNAL = 48,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum bitat_status bitat_status;
#else
typedef int32_t bitat_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Instruction sets. Every name exists on every machine; bitat_init_isa says
 * whether this one can run it. All give the same scores.
 */
enum bitat_isa
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The best of this processor.
     */
    BITAT_ISA_BEST = 0,
    /**
     * Plain code over vectors of 16, where the processor has vectors of any kind.
     */
    BITAT_ISA_PORTABLE = 1,
    /**
     * AArch64 with Advanced SIMD.
     */
    BITAT_ISA_NEON = 2,
    /**
     * x86-64 with AVX2.
     */
    BITAT_ISA_AVX2 = 3,
    /**
     * x86-64 with AVX-512 F, BW, VL, VNNI and BITALG.
     */
    BITAT_ISA_AVX512 = 4,
    /**
     * Plain code without vectors, everywhere. Small: for microcontrollers.
     */
    BITAT_ISA_SCALAR = 5,
    /**
     * AArch64 with Advanced SIMD and FEAT_DotProd.
     */
    BITAT_ISA_NEON_DOTPROD = 6,
    /**
     * x86-64 with AVX2 and AVX-VNNI.
     */
    BITAT_ISA_AVX2_VNNI = 7,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum bitat_isa bitat_isa;
#else
typedef int32_t bitat_isa;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A network that is ready to run. The caller gives the memory, bitat_init
 * fills it; only the functions below know what is inside.
 *
 * It holds no memory of its own and nothing has to be freed. It may be copied
 * as a whole. Make it all zero before bitat_init and a call that comes too
 * early is refused; of memory with anything else in it that cannot be told.
 */
typedef struct bitat_network {
    /**
     * Not to be read or written.
     */
    uint64_t opaque[BITAT_NETWORK_WORDS];
} bitat_network;

/**
 * What a program must know of a network to run it.
 */
typedef struct bitat_info {
    /**
     * Bytes of arena that a run needs, as bitat_init has planned it.
     */
    size_t arena_bytes;
    /**
     * Bytes of arena with which every layer runs whole, never fewer: given to
     * bitat_init and bitat_run they make runs fastest. SIZE_MAX if there is no
     * such arena.
     */
    size_t whole_arena_bytes;
    /**
     * Bytes of an image: height * width * channels.
     */
    size_t image_bytes;
    /**
     * Rows of an image.
     */
    size_t height;
    /**
     * Columns of an image.
     */
    size_t width;
    /**
     * Channels of an image.
     */
    size_t channels;
    /**
     * Scores that a run gives, one per class.
     */
    size_t classes;
    /**
     * A score times this is the logit of the float network. Above 0.
     */
    float score_scale;
    /**
     * The instruction set whose kernels run the network; never the code for
     * the best.
     */
    bitat_isa isa;
} bitat_info;

/**
 * A text inside the model: UTF-8 without control characters, not ended by a
 * zero. printf("%.*s", (int)text.length, text.bytes) prints it.
 */
typedef struct bitat_text {
    /**
     * Its first byte.
     */
    const char *bytes;
    /**
     * Its bytes.
     */
    size_t length;
} bitat_text;

/**
 * A class and its score.
 */
typedef struct bitat_ranked {
    /**
     * Which class, from 0.
     */
    size_t index;
    /**
     * Its score.
     */
    int32_t score;
} bitat_ranked;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Validates a model in full and makes a network of it, with the best
 * instruction set of this processor. Takes one pass over the model.
 *
 * - network: room for the network.
 * - model, model_bytes: the whole packed file, at a multiple of
 *   BITAT_MODEL_ALIGN. It is read in place: it must stay where it is, and
 *   unchanged, for as long as the network is used.
 * - arena_bytes: as many as bitat_run will be given. If they are enough, every
 *   layer runs whole, which is fastest; if not, the widest layers run in bands of
 *   rows, in the smallest arena found. Both give the same scores. 0 always plans
 *   the smallest; bitat_query then tells both sizes. That bitat_run gets enough,
 *   it checks itself.
 *
 * Any bytes may be given as the model: what is wrong with them is returned.
 * After an error the network is not initialised; where the status is about
 * the pointers themselves, nothing was written.
 */
bitat_status bitat_init(struct bitat_network *network,
                        const uint8_t *model,
                        size_t model_bytes,
                        size_t arena_bytes);

/**
 * As bitat_init, with the kernels of one instruction set, a bitat_isa.
 * All of them give the same scores; only the time differs.
 */
bitat_status bitat_init_isa(struct bitat_network *network,
                            const uint8_t *model,
                            size_t model_bytes,
                            size_t arena_bytes,
                            int32_t isa);

/**
 * Tells what a program must know to run the network: arena, image, classes.
 */
bitat_status bitat_query(const struct bitat_network *network, struct bitat_info *info);

/**
 * Gives the name of the network. The text lies in the model.
 */
bitat_status bitat_name(const struct bitat_network *network, struct bitat_text *name);

/**
 * Gives the name of class index, from 0. The text lies in the model.
 * BITAT_STATUS_NO_NAME if there is no such class, or the model has no names.
 */
bitat_status bitat_class_name(const struct bitat_network *network,
                              size_t index,
                              struct bitat_text *name);

/**
 * Scores one image.
 *
 * - image, image_bytes: pixels 0 to 255 in the order row, column, channel,
 *   exactly one image. Preprocessing is part of the network.
 * - arena, arena_bytes: at least the bytes that bitat_query tells, at a
 *   multiple of BITAT_ARENA_ALIGN. What it contains does not matter, before or
 *   after.
 * - scores, scores_count: room for at least one score per class.
 *
 * Nothing is written outside arena and scores, nor there beyond what is
 * needed; after an error about an argument nothing has been written at all.
 * Runs may go on at the same time, in threads or interrupts, with the same
 * network, each with an arena and scores of its own.
 */
bitat_status bitat_run(const struct bitat_network *network,
                       const uint8_t *image,
                       size_t image_bytes,
                       void *arena,
                       size_t arena_bytes,
                       int32_t *scores,
                       size_t scores_count);

/**
 * Gives the best classes in falling order of score; of equal scores the lower
 * class comes first.
 *
 * - scores, scores_count: what a run gave.
 * - best, best_count: room for the classes; as many as fit are written.
 * - found: how many those are, at most one per score.
 */
bitat_status bitat_top_k(const int32_t *scores,
                         size_t scores_count,
                         struct bitat_ranked *best,
                         size_t best_count,
                         size_t *found);

/**
 * A sentence on a bitat_status, in English, ended by a zero, never null.
 */
const char *bitat_status_string(int32_t status);

/**
 * The name of a bitat_isa, ended by a zero; null if there is none.
 */
const char *bitat_isa_name(int32_t isa);

/**
 * The library's version, as "0.1.0", ended by a zero.
 */
const char *bitat_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* BITAT_H */
