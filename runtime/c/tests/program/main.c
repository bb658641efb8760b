/* The test program of bitat.h; tests/c_program.rs builds and runs it. */
#include "check.h"

int main(int count, char **arguments) {
    const char *test = count > 1 ? arguments[1] : "";
    if (strcmp(test, "scores") == 0 && count == 4)
        return scores(arguments[2], arguments[3]);
    if (strcmp(test, "refusals") == 0 && count == 5)
        return refusals(arguments[2], arguments[3], arguments[4]);
    if (strcmp(test, "damage") == 0 && count == 5)
        return damage(arguments[2], (unsigned)strtoul(arguments[3], NULL, 10),
                      strtoull(arguments[4], NULL, 10));
    if (strcmp(test, "threads") == 0 && count == 4)
        return threads(arguments[2], arguments[3]);
    if (strcmp(test, "arenas") == 0 && count == 4)
        return arenas(arguments[2], arguments[3]);
    fprintf(stderr, "scores MODEL IMAGES | refusals MODEL NAMELESS MANY_TENSORS |\n"
                    "damage MODEL ROUNDS SEED | threads MODEL IMAGES |\n"
                    "arenas MODEL IMAGES\n");
    return 2;
}
