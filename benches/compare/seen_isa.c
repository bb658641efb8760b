/* Hides from a process what its processor has beyond AVX2, FMA and F16C, so that any
 * engine is measured as on a processor without it:
 *
 *     cc -O2 -shared -fPIC -o seen_isa.so seen_isa.c
 *     BITAT_SEEN_ISA=avx2 LD_PRELOAD=./seen_isa.so PROGRAM
 *
 * With BITAT_SEEN_ISA=avx2+vnni it also sees AVX-VNNI and GFNI, as on an Intel Core since
 * the 12th generation.
 *
 * The kernel makes `cpuid` fault (Linux, a processor that can: its flag `cpuid_fault`),
 * and the fault is answered here with the processor's own words less those bits. Exits
 * with 3 where that cannot be.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef ARCH_SET_CPUID
#define ARCH_SET_CPUID 0x1012
#endif

static struct sigaction before;
static int vnni;

static void answer(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *at = (const unsigned char *)registers[REG_RIP];
    if (at[0] != 0x0f || at[1] != 0xa2) {
        /* Somebody else's fault: it comes again, to whoever was there before. */
        sigaction(SIGSEGV, &before, NULL);
        return;
    }
    unsigned leaf = registers[REG_RAX], part = registers[REG_RCX], a, b, c, d;
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1);
    __cpuid_count(leaf, part, a, b, c, d);
    syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0);
    if (leaf == 7 && part == 0) {
        /* AVX-512 F, DQ, IFMA, PF, ER, CD, BW, VL. */
        b &= ~(1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31);
        /* VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; GFNI. */
        c &= ~(1u << 1 | 1u << 6 | 1u << 11 | 1u << 12 | 1u << 14);
        c &= vnni ? ~0u : ~(1u << 8);
        /* 4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, AVX-512 FP16, AMX-TILE, AMX-INT8. */
        d &= ~(1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25);
    }
    if (leaf == 7 && part == 1) {
        /* AVX-512 BF16, AMX-FP16, AVX-IFMA; AVX-VNNI; AVX-VNNI-INT8 and -INT16, AVX-10. */
        a &= ~(1u << 5 | 1u << 21 | 1u << 23);
        a &= vnni ? ~0u : ~(1u << 4);
        d &= ~(1u << 4 | 1u << 5 | 1u << 10 | 1u << 19);
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void hide(void) {
    const char *seen = getenv("BITAT_SEEN_ISA");
    vnni = seen && strcmp(seen, "avx2+vnni") == 0;
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (sigaction(SIGSEGV, &action, &before) || syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) {
        fprintf(stderr, "seen_isa: this processor or kernel cannot hide what it has "
                        "(flag cpuid_fault in /proc/cpuinfo)\n");
        _exit(3);
    }
}
