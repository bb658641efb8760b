/* A plugin for QEMU: how often each translated block of a program was executed, and
 * how often something else than what stands behind it came next.
 *
 *     qemu-aarch64 -plugin blocks.so,out=FILE PROGRAM
 *
 * FILE gets the address of the program's entry (0 where a whole machine is emulated),
 * and a line per block: address of its first instruction, instructions, executions,
 * jumps at its end. The jumps are right for a program of one thread. Packages of
 * QEMU do not bring the header of the plugin interface; what is used of it, version
 * 1, is declared here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                           void (*translated)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
                                          void (*executed)(unsigned, void *), int flags,
                                          void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*ended)(plugin_id, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_entry_code(void);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

#define EXPORT __attribute__((visibility("default")))
#define NO_REGISTERS 0

EXPORT int qemu_plugin_version = 1;

/* A block is translated again after the emulator has emptied its cache: it then
 * has several of these. */
struct block {
    struct block *next;
    uint64_t address, end, instructions, executions, jumps;
};

static struct block *blocks, *before;
static const char *out;

static void executed(unsigned cpu, void *data) {
    (void)cpu;
    struct block *block = data;
    block->executions++;
    if (before != NULL && before->end != block->address)
        before->jumps++;
    before = block;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb) {
    (void)id;
    struct block *block = malloc(sizeof *block);
    if (block == NULL) {
        fputs("blocks: out of memory\n", stderr);
        exit(1);
    }
    size_t count = qemu_plugin_tb_n_insns(tb);
    const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, count - 1);
    uint64_t end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last);
    *block = (struct block){blocks, qemu_plugin_tb_vaddr(tb), end, count, 0, 0};
    blocks = block;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, NO_REGISTERS, block);
}

static void ended(plugin_id id, void *data) {
    (void)id;
    (void)data;
    FILE *file = fopen(out, "w");
    if (file == NULL) {
        perror(out);
        return;
    }
    fprintf(file, "%" PRIx64 "\n", qemu_plugin_entry_code());
    for (const struct block *block = blocks; block != NULL; block = block->next)
        fprintf(file, "%" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", block->address,
                block->instructions, block->executions, block->jumps);
    fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
        fputs("blocks: wants out=FILE\n", stderr);
        return 1;
    }
    out = strdup(argv[0] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
