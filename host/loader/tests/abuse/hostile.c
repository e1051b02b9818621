/* A plugin in C that does what none should: things that Rust and the SDK would not let one do.
 *
 * What it does is told when it is compiled (CONSTRUCT, DESCRIBE, DEED), else by the first of the units that it is asked
 * about. NAME is its name, LAYOUT the fingerprint of the ABI, MARK a file that a constructor tries to make.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef ABI_MAJOR
#define ABI_MAJOR 1
#endif
#ifndef DESCRIBE
#define DESCRIBE 0
#endif
#ifndef CONSTRUCT
#define CONSTRUCT 0
#endif
#ifndef DEED
#define DEED (ask->units_len ? ask->units[0] : 0)
#endif
#ifndef MARK
#define MARK "/nonexistent/mark"
#endif

struct record {
    uint8_t magic[8];
    uint16_t record_size, abi_major, abi_minor;
    uint8_t pointer_width, endianness, panic_unwinds, language, reserved[2];
    uint32_t vtable_size;
    uint64_t layout;
    char name[32], version[16];
};
struct sink {
    void *context;
    int32_t (*put)(void *, uint32_t, const void *, size_t);
};
struct probe {
    uint8_t unit, function;
    uint16_t at, count;
};
struct evidence {
    struct probe probe;
    uint8_t outcome, exception;
    uint32_t offset, len;
};
struct ask {
    uint32_t mode, units_len;
    const uint8_t *units;
    const struct evidence *evidence;
    size_t evidence_len;
    const uint16_t *words;
    size_t words_len;
};
struct step {
    struct probe *probes;
    size_t capacity, len;
    uint32_t remaining, expected, possible;
};
struct vtable {
    int32_t (*describe)(const struct sink *);
    int32_t (*discover)(const struct ask *, struct step *, const struct sink *);
};
struct entry {
    struct record record;
    const struct vtable *vtable;
};

enum { DONE = 0, TOO_MUCH = 3 };
enum { TITLE = 16, DISCOVERS = 19, LEDGER = 20, LEDGER_TEXT = 21, NOTE = 32, DEVICE = 33, DEVICE_LEDGER = 34, DEVICE_ID = 35 };
enum { DEVICE_LEDGER_TEXT = 40 };

static int32_t say(const struct sink *out, uint32_t tag, const char *text)
{
    return out->put(out->context, tag, text, strlen(text));
}

/* What became of an attempt, as a note or a title. */
static char attempt[200] = "Hostile";

static void note_errno(const char *what, int failed)
{
    snprintf(attempt, sizeof attempt, "%s: %s", what, failed ? strerror(errno) : "it worked");
}

static void spin(void)
{
    for (volatile int i = 0;; i++) {
    }
}

static void rest(void)
{
    for (;;)
        nanosleep(&(struct timespec){3600, 0}, NULL);
}

static void *nothing(void *context)
{
    return context;
}

/* A frame of the channel: a length, then the message, which begins with the number of the question. */
static void forge(const uint8_t *message, uint32_t len)
{
    if (write(0, &len, 4) != 4 || write(0, message, len) != (ssize_t)len)
        _exit(9);
}

__attribute__((constructor)) static void construct(void)
{
    switch (CONSTRUCT) {
    case 1:
        spin();
        break;
    case 2:
        exit(0);
    case 3:
        rest();
        break;
    case 4: {
        int file = open(MARK, O_WRONLY | O_CREAT, 0644);
        note_errno("making a file", file < 0);
        break;
    }
    case 5:
        *(volatile int *)8 = 1;
        break;
    case 6: {
        int file = open(MARK, O_WRONLY | O_TRUNC);
        note_errno("emptying a file", file < 0);
        break;
    }
    }
}

static int32_t describe(const struct sink *out)
{
    char name[40];
    switch (DESCRIBE) {
    case 1: /* without an end */
        for (;;) {
            static char text[1 << 20];
            memset(text, 'x', sizeof text);
            if (out->put(out->context, LEDGER, "a/b.toml", 8) || out->put(out->context, LEDGER_TEXT, text, sizeof text))
                return TOO_MUCH;
        }
    case 2: /* one ledger of two megabytes */
    {
        static char text[2 << 20];
        memset(text, 'x', sizeof text);
        say(out, LEDGER, "a/b.toml");
        return out->put(out->context, LEDGER_TEXT, text, sizeof text) ? TOO_MUCH : DONE;
    }
    case 3: /* many ledgers */
        for (int i = 0; i < 2000; i++) {
            snprintf(name, sizeof name, "a/b%d.toml", i);
            say(out, LEDGER, name);
        }
        break;
    case 4: /* no text */
        say(out, TITLE, "\xC3\x28");
        break;
    case 5: /* a way out of its folder */
        say(out, LEDGER, "../../passwd.toml");
        break;
    case 6: /* a title that paints the terminal */
        say(out, TITLE, "good\n\x1b[2Jevil");
        return say(out, DISCOVERS, "");
    }
    say(out, TITLE, attempt);
    return say(out, DISCOVERS, "");
}

static int32_t found(const struct sink *out, const char *unit, const char *id)
{
    say(out, NOTE, "");
    say(out, DEVICE, unit);
    return say(out, DEVICE_ID, id);
}

static int32_t probes(struct step *step, struct probe probe)
{
    step->probes[0] = probe;
    step->len = 1;
    return DONE;
}

static int32_t discover(const struct ask *ask, struct step *step, const struct sink *out)
{
    switch (DEED) {
    case 1: /* the length of a text that is longer than the text, up to where there is no memory */
    {
        char *page = mmap(NULL, 64 << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(page + 4096, 60 << 10, PROT_NONE);
        out->put(out->context, NOTE, page, 3 << 20);
        break;
    }
    case 2:
        step->len = step->capacity + 1;
        return DONE;
    case 3:
        return found(out, "abc\nd", "a");
    case 4:
        return probes(step, (struct probe){1, 3, 65535, 2});
    case 5: /* its own answer before the worker's, which then waits for the next call; 3: the fourth question; 3: stepped */
    {
        const uint8_t stepped[] = {3, 3, 0, 0, 0, 0, 1, 0, 6, 'f', 'o', 'r', 'g', 'e', 'd'};
        forge(stepped, sizeof stepped);
        return say(out, NOTE, "true");
    }
    case 6: /* an answer in pieces, without an end */
    {
        uint32_t len = 1 << 20;
        if (write(0, &len, 4) != 4)
            _exit(9);
        for (;;) {
            if (write(0, "x", 1) != 1)
                _exit(9);
            nanosleep(&(struct timespec){0, 10 * 1000 * 1000}, NULL);
        }
    }
    case 7: /* an answer of many empty ledgers */
    {
        static uint8_t message[4 << 20];
        const uint8_t head[] = {3, 2, 0, 0, 0, 0, 0x80, 0x80, 0x80, 1};
        memcpy(message, head, sizeof head);
        forge(message, sizeof message);
        break;
    }
    case 8: /* reads the channel, as if it were the worker */
    {
        char byte;
        if (read(0, &byte, 1) < 0)
            _exit(9);
        break;
    }
    case 9:
        for (int i = 0; i < 64; i++)
            close(i);
        rest();
        break;
    case 10: /* stops itself */
        if (syscall(SYS_tgkill, getpid(), (int)syscall(SYS_gettid), SIGSTOP) != 0)
            note_errno("stopping", 1);
        return say(out, NOTE, attempt);
    case 11: /* its first thread ends, its process does not */
        syscall(SYS_exit, 0);
        break;
    case 12: /* a limit of the host's */
    {
        struct rlimit none = {0, 0};
        note_errno("limiting the host", prlimit(getppid(), RLIMIT_CORE, &none, NULL) != 0);
        return say(out, NOTE, attempt);
    }
    case 13: /* the kernel's signal for a descriptor, to the host */
    {
        int failed = fcntl(0, F_SETOWN, getppid()) != 0;
        failed = failed || fcntl(0, F_SETSIG, SIGKILL) != 0 || fcntl(0, F_SETFL, O_ASYNC) != 0;
        note_errno("a signal by way of the channel", failed);
        return say(out, NOTE, attempt);
    }
    case 14: {
        int began = 0;
        for (int i = 0; i < 1000; i++) {
            pthread_t thread;
            began += pthread_create(&thread, NULL, nothing, NULL) == 0;
        }
        snprintf(attempt, sizeof attempt, "%d threads", began);
        return say(out, NOTE, attempt);
    }
    case 15: {
        int began = 0;
        for (int i = 0; i < 1000; i++) {
            pid_t child = fork();
            if (child == 0)
                spin();
            began += child > 0;
        }
        snprintf(attempt, sizeof attempt, "%d processes", began);
        return say(out, NOTE, attempt);
    }
    case 16: {
        int file = open(MARK, O_WRONLY | O_CREAT, 0644);
        note_errno("making a file", file < 0);
        return say(out, NOTE, attempt);
    }
    case 17: /* memory that no limit of data counts */
    {
        void *all = mmap(NULL, 512 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        note_errno("shared memory", all == MAP_FAILED);
        return say(out, NOTE, attempt);
    }
    case 18:
        say(out, NOTE, "\xff\xfe");
        return DONE;
    case 19: /* sleeps in naps */
        for (;;)
            nanosleep(&(struct timespec){0, 1000 * 1000}, NULL);
    case 20: /* a length that overflows */
        return out->put(out->context, NOTE, "x", SIZE_MAX) ? TOO_MUCH : DONE;
    case 21: /* a discovery that never ends: something new each time, and a forecast that no sum has room for */
        step->remaining = step->expected = step->possible = UINT32_MAX;
        return probes(step, (struct probe){1, 3, (uint16_t)ask->evidence_len, 1});
    case 22: /* and the same again and again */
        return probes(step, (struct probe){1, 3, 0, 1});
    case 23: /* an error without an end */
    {
        static char text[3 << 20];
        memset(text, '\n', sizeof text);
        out->put(out->context, 1, text, sizeof text);
        return 1;
    }
    case 24:
        *(volatile int *)8 = 1;
        break;
    case 25:
        spin();
        break;
    case 26:
        exit(0);
    case 27:
        rest();
        break;
    case 28:
        for (;;)
            if (write(2, "flood\n", 6) < 0)
                _exit(9);
    case 29: /* an answer as large as none may be */
    {
        uint8_t message[64];
        memset(message, 0xFF, sizeof message);
        if (write(0, message, sizeof message) < 0)
            _exit(9);
        rest();
    }
    case 30: /* a child that stays when it is gone itself */
    {
        pid_t child = fork();
        if (child == 0)
            rest();
        snprintf(attempt, sizeof attempt, "%d", (int)child);
        return say(out, NOTE, attempt);
    }
    case 31: /* a device of a ledger that nobody has */
        found(out, "1", "a");
        return say(out, DEVICE_LEDGER, "nobody/one");
    case 32: /* a ledger that is nothing but depth, made for a device */
    {
        static char text[1 << 20];
        memcpy(text, "x = ", 4);
        memset(text + 4, '[', sizeof text - 4);
        found(out, "1", "a");
        say(out, DEVICE_LEDGER, NAME "/one");
        return out->put(out->context, DEVICE_LEDGER_TEXT, text, sizeof text);
    }
    }
    return say(out, NOTE, "fine");
}

static const struct vtable VTABLE = {describe, discover};

#define RECORD                                                                                                          \
    {                                                                                                                   \
        {'B', 'U', 'S', 'B', 'A', 'R', 'P', 'L'}, 80, ABI_MAJOR, 1, sizeof(void *), 1, 1, 0, {0, 0}, sizeof VTABLE,     \
            LAYOUT, NAME, "0.0.1"                                                                                       \
    }

__attribute__((section(".busbar_plugin"), used)) const struct record BUSBAR_PLUGIN_RECORD = RECORD;
const struct entry BUSBAR_PLUGIN_ENTRY = {RECORD, &VTABLE};
