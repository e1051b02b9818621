/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The Busbar contributors
 *
 * Plugins for Busbar in C (C11 or later; C++11 or later will do, too). This one file is all that a plugin needs.
 *
 * A plugin teaches Busbar a kind of device. It brings ledgers (TOML files that describe registers) and, where data is
 * not enough, discovery: a function that turns what is known so far into what to read next. It never opens a socket or a
 * file: the host does all that, and runs the plugin in a process of its own that could not do it either.
 *
 * A whole plugin is two functions and one line at the end:
 *
 *     static int32_t describe(const busbar_sink *out);
 *     static int32_t discover(const busbar_ask *ask, busbar_step *step, const busbar_sink *out);
 *
 *     BUSBAR_PLUGIN("acme", "1.0.0", describe, discover);
 *
 * Compile it to a library that is called libbusbar_plugin_*.so; the host looks at no others:
 *
 *     cc -std=c11 -O2 -fPIC -shared -fvisibility=hidden -o libbusbar_plugin_acme.so acme.c
 *     chmod go-w libbusbar_plugin_acme.so
 *     busbar plugin check libbusbar_plugin_acme.so
 *
 * `busbar plugin new NAME --lang c` makes such a project, with a ledger, a test and a Makefile.
 *
 * What holds
 *
 * - No ownership crosses. What the host lends (ask, step, sink, and what they lead to) is valid until the function
 *   returns, and no longer. What the plugin puts into the sink is copied at once. Nobody frees what the other has made.
 * - discover() is called again and again with all evidence so far. Keep nothing between two calls: the process may be
 *   another one the next time.
 * - Each function returns BUSBAR_DONE, or another busbar_status with its reason under BUSBAR_TAG_ERROR. What it has put
 *   into the sink in a call that failed is thrown away. Three failures in a row set the plugin aside.
 * - A call has a second of processor time, and its process 256 MiB of memory, no files, no network, no threads and no
 *   child processes. A crash, an endless loop or an exit() costs that call.
 * - The host believes nothing: texts must be UTF-8; a title, summary, licence, note, or text about a device has at most
 *   1024 bytes, a file name or an id 128, a ledger 4 MiB, all texts of a call 8 MiB; a probe reads (function 1 to 4) 1 to
 *   2000 bits or 1 to 125 registers within 65536; a device's id is made of a-z, 0-9 and _.
 */
#ifndef BUSBAR_PLUGIN_H
#define BUSBAR_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#if !defined(__GNUC__)
#error "busbar_plugin.h needs gcc or clang, for the section that holds a plugin's record"
#endif

/* clang-format off */

#ifdef __cplusplus
#define BUSBAR_ASSERT(truth, message) static_assert(truth, message)
#define BUSBAR_LANGUAGE 255
extern "C" {
#else
#define BUSBAR_ASSERT(truth, message) _Static_assert(truth, message)
#define BUSBAR_LANGUAGE 0
#endif

/* Seen from outside even where everything else is compiled with -fvisibility=hidden. */
#define BUSBAR_EXPORT __attribute__((visibility("default")))

/* A field that is full has no zero at its end. */
#if defined(__has_attribute)
#if __has_attribute(nonstring)
#define BUSBAR_NONSTRING __attribute__((nonstring))
#endif
#endif
#ifndef BUSBAR_NONSTRING
#define BUSBAR_NONSTRING
#endif

/* The first eight bytes of every record, for people who look into a file: "BUSBARPL". */
#define BUSBAR_MAGIC {'B', 'U', 'S', 'B', 'A', 'R', 'P', 'L'}
/* Host and plugin must agree on this one. */
#define BUSBAR_ABI_MAJOR 1
/* A host takes plugins of an older minor version. */
#define BUSBAR_ABI_MINOR 2
/* How many probes one step may ask for, at most: busbar_step.capacity. */
#define BUSBAR_MAX_PROBES 16384
/* The section that holds the record, so that a host can read it before it loads anything. */
#define BUSBAR_RECORD_SECTION ".busbar_plugin"

/* ---------------------------------------------------------------------------------------------------------------------
 * What a function returns
 */

enum busbar_status {
    /* All is well. */
    BUSBAR_DONE = 0,
    /* The plugin cannot; the reason is in the sink. busbar_fail() does both. */
    BUSBAR_FAILED = 1,
    /* For languages whose panics are caught at the border; C has none. */
    BUSBAR_PANICKED = 2,
    /* It had more to say than the host takes: busbar_put() said so. */
    BUSBAR_TOO_MUCH = 3
};

/* Goes on where all is well, and returns from the function that it stands in where it is not:
 *     BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_TITLE, "Acme meters")); */
#define BUSBAR_TRY(call)                              \
    do {                                              \
        const int32_t busbar_status_of_it_ = (call);  \
        if (busbar_status_of_it_ != BUSBAR_DONE)      \
            return busbar_status_of_it_;              \
    } while (0)

/* ---------------------------------------------------------------------------------------------------------------------
 * Texts that a plugin gives: the sink
 */

/* Where a plugin puts text. The host lends it for the length of one call; busbar_put() and its sisters use it. */
typedef struct busbar_sink {
    /* Handed back as it is. */
    void *context;
    /* Takes a copy of `len` bytes of UTF-8. Returns 0, or something else when the host takes no more: then the function
     * should return BUSBAR_TOO_MUCH. */
    int32_t (*put)(void *context, uint32_t tag, const uint8_t *data, size_t len);
} busbar_sink;

/* What a text in the sink is. A tag that a host does not know is passed over. */
enum busbar_tag {
    /* Why the call failed; at most 1024 bytes are kept. */
    BUSBAR_TAG_ERROR = 1,

    /* describe(): one short line for people, "Acme meters". */
    BUSBAR_TAG_TITLE = 16,
    /* What the plugin is good for, in a sentence or two. */
    BUSBAR_TAG_SUMMARY = 17,
    /* An SPDX expression: "MIT OR Apache-2.0". */
    BUSBAR_TAG_LICENCE = 18,
    /* Empty; the plugin takes part in discovery. Without it the host never calls discover(). */
    BUSBAR_TAG_DISCOVERS = 19,
    /* Begins a ledger: its file name, "acme/one.toml" for the ledger that calls itself "acme/one". */
    BUSBAR_TAG_LEDGER = 20,
    /* The ledger's text, TOML. */
    BUSBAR_TAG_LEDGER_TEXT = 21,
    /* Empty; the plugin finds telegrams in streams. Without it the host never calls telegram() and recognise(). */
    BUSBAR_TAG_TELEGRAMS = 22,

    /* discover(): begins a verdict: its note, one sentence for people, perhaps empty. */
    BUSBAR_TAG_NOTE = 32,
    /* Begins a device: its Modbus unit, as a decimal number. What follows is about this device. */
    BUSBAR_TAG_DEVICE = 33,
    /* The name of its ledger, "acme/one". Required. */
    BUSBAR_TAG_DEVICE_LEDGER = 34,
    /* Its id, a-z, 0-9 and _, made from its identity; never from an address, a name or a position. Required. */
    BUSBAR_TAG_DEVICE_ID = 35,
    /* The name that its owner gave it, where it has one. */
    BUSBAR_TAG_DEVICE_NAME = 36,
    /* The maker's name for the model, where known. */
    BUSBAR_TAG_DEVICE_MODEL = 37,
    /* Its serial number, where known. */
    BUSBAR_TAG_DEVICE_SERIAL = 38,
    /* Its firmware version as people write it, where known. */
    BUSBAR_TAG_DEVICE_FIRMWARE = 39,
    /* The text of a ledger made for this one device, where no other has its registers at the same addresses. The name
     * under BUSBAR_TAG_DEVICE_LEDGER then begins with the plugin's own name and a slash, or is that of a ledger which the
     * plugin brings. */
    BUSBAR_TAG_DEVICE_LEDGER_TEXT = 40,

    /* telegram(): begins a telegram: how its sum was checked. "crc": it is right. "restored": it is right with the line
     * ends that something on the way took out. "none": it has no sum. */
    BUSBAR_TAG_TELEGRAM = 48,
    /* When the meter says that it was made, in milliseconds since 1970 (UTC), as a decimal number. Left out where it does
     * not say. */
    BUSBAR_TAG_TELEGRAM_TIME = 49,
    /* One of its lines, without line end or other control characters: "1-0:1.7.0(00.512*kW)". */
    BUSBAR_TAG_TELEGRAM_LINE = 50,
    /* Which kind of telegram it is, one short word. */
    BUSBAR_TAG_TELEGRAM_VARIANT = 51,
    /* What the meter calls itself. */
    BUSBAR_TAG_TELEGRAM_IDENT = 52,
    /* What the stream seems to be where it is none of telegrams, and what to do about it. */
    BUSBAR_TAG_HEARD_NOTE = 53
};

/* ---------------------------------------------------------------------------------------------------------------------
 * Discovery: what is known, and what to read next
 */

/* One small read. Address and count are in registers (or bits for functions 1 and 2), zero-based. */
typedef struct busbar_probe {
    /* Modbus unit identifier. */
    uint8_t unit;
    /* Modbus function: 1 coils, 2 discrete inputs, 3 holding registers, 4 input registers. */
    uint8_t function;
    /* First protocol address. */
    uint16_t at;
    /* How many, at least 1. */
    uint16_t count;
} busbar_probe;

/* What became of a probe. */
enum busbar_outcome {
    /* The device answered with registers (bits come one a word): busbar_words(). */
    BUSBAR_WORDS = 0,
    /* The device refused, with a code. That is an answer. */
    BUSBAR_EXCEPTION = 1,
    /* No answer in time. That proves nothing. */
    BUSBAR_SILENT = 2,
    /* The answer was not valid, or the link was lost. */
    BUSBAR_BROKEN = 3
};

/* A probe and what became of it. */
typedef struct busbar_evidence {
    /* What was asked. */
    busbar_probe probe;
    /* A busbar_outcome. */
    uint8_t outcome;
    /* The exception's code where the outcome is BUSBAR_EXCEPTION, else 0. */
    uint8_t exception;
    /* Where its words begin in busbar_ask.words; busbar_words() looks them up. */
    uint32_t offset;
    /* How many words there are. */
    uint32_t len;
} busbar_evidence;

/* How thorough a scan is. */
enum busbar_mode {
    /* The units that the maker uses. */
    BUSBAR_QUICK = 0,
    /* Every unit, 1 to 247. */
    BUSBAR_FULL = 1,
    /* The units of busbar_ask.units and no others. */
    BUSBAR_LISTED = 2
};

/* All that a plugin may know when it decides what to read next. A pointer may be anything where its length is 0. */
typedef struct busbar_ask {
    /* A busbar_mode. Fail on one that is not known. */
    uint32_t mode;
    /* Length of `units`. */
    uint32_t units_len;
    /* With BUSBAR_LISTED the units to look at. */
    const uint8_t *units;
    /* What was probed so far, in the order in which it was asked. */
    const busbar_evidence *evidence;
    /* Length of `evidence`: 0 when the conversation begins. */
    size_t evidence_len;
    /* The words of all evidence. */
    const uint16_t *words;
    /* Length of `words`. */
    size_t words_len;
} busbar_ask;

/* What is still to come, as far as the plugin can tell; shown to the owner before and during a scan. */
typedef struct busbar_forecast {
    /* Probes still to come, those of this step included. */
    uint32_t remaining;
    /* How many of them the device will probably answer with an exception (each may be an entry in its log). */
    uint32_t expected_exceptions;
    /* Probes that a full coverage would take, from the beginning. */
    uint32_t possible;
} busbar_forecast;

/* The plugin's answer. The host lends it with room for probes, everything else is 0. A step without probes ends the
 * conversation, and then there is a verdict in the sink (BUSBAR_TAG_NOTE and following). Beside probes a verdict says
 * what is known so far: it is kept when the owner stops the scan there. */
typedef struct busbar_step {
    /* Room for probes, likeliest first; busbar_add_probe() fills it. */
    busbar_probe *probes;
    /* How many fit. */
    size_t capacity;
    /* How many the plugin wrote. */
    size_t len;
    /* What is still to come. */
    busbar_forecast forecast;
} busbar_step;

/* ---------------------------------------------------------------------------------------------------------------------
 * Telegrams: what a meter says by itself, without being asked. From minor version 2 on
 */

/* The most bytes of one feed. */
#define BUSBAR_MAX_FEED 65536
/* busbar_feed.standard_offset where none is set. */
#define BUSBAR_NO_OFFSET INT32_MIN

/* A piece of a stream. Keep nothing: what is not consumed comes again, with what follows. A pointer may be anything where
 * its length is 0. */
typedef struct busbar_feed {
    /* All that was not consumed yet. */
    const uint8_t *bytes;
    size_t bytes_len;
    /* The key that an encrypted telegram is read with: 0 or 16 bytes. */
    const uint8_t *key;
    size_t key_len;
    /* The key that it is authenticated with: 0 (then the plugin knows a usual one) or 16 bytes. */
    const uint8_t *auth_key;
    size_t auth_key_len;
    /* 1 where nothing follows (the answer to one request): what is there is all. Else 0. */
    uint32_t whole;
    /* Standard time of the meter's country, in minutes east of Greenwich; BUSBAR_NO_OFFSET: the plugin knows. */
    int32_t standard_offset;
} busbar_feed;

/* The answer to a feed, lent zeroed. The telegrams go into the sink. */
typedef struct busbar_heard {
    /* How many bytes, from the beginning, are done with: at most bytes_len. */
    size_t consumed;
    /* How many telegrams were there, but damaged: they are dropped. */
    uint32_t damaged;
    /* How many of those that are told had no sum. */
    uint32_t unchecked;
    /* How many of the consumed bytes belong to no telegram that is told. */
    uint32_t dropped;
    /* How many lines were left out, for one with the same code stands behind them. */
    uint32_t repeated;
} busbar_heard;

/* A text that the host lends: UTF-8 without a zero at its end. */
typedef struct busbar_lent {
    const uint8_t *data;
    size_t len;
} busbar_lent;

/* How a telegram was checked: see BUSBAR_TAG_TELEGRAM. */
enum busbar_checked {
    BUSBAR_CHECKED_CRC = 0,
    BUSBAR_CHECKED_RESTORED = 1,
    BUSBAR_CHECKED_NONE = 2
};

/* A telegram, as telegram() told it. */
typedef struct busbar_telegram {
    /* A busbar_checked. Fail on one that is not known. */
    uint32_t checked;
    /* 1 where time_ms says something, else 0. */
    uint32_t has_time;
    /* When it was made, in milliseconds since 1970 (UTC). */
    int64_t time_ms;
    const busbar_lent *lines;
    size_t lines_len;
    busbar_lent variant;
    busbar_lent ident;
} busbar_telegram;

/* ---------------------------------------------------------------------------------------------------------------------
 * Who a plugin is: BUSBAR_PLUGIN() makes all of this
 */

/* Tells the sink who the plugin is: BUSBAR_TAG_TITLE and following. Called once, when the plugin is loaded. */
typedef int32_t (*busbar_describe_fn)(const busbar_sink *out);
/* One step of a discovery: fills `step`, tells the sink the verdict. */
typedef int32_t (*busbar_discover_fn)(const busbar_ask *ask, busbar_step *step, const busbar_sink *out);
/* Finds telegrams in a stream: fills `heard`, tells the sink the telegrams: BUSBAR_TAG_TELEGRAM and following. */
typedef int32_t (*busbar_telegram_fn)(const busbar_feed *feed, busbar_heard *heard, const busbar_sink *out);
/* The devices in one telegram: tells the sink the verdict. A device's unit is 0 for the meter itself, and the number of
 * its channel for one behind it; an empty BUSBAR_TAG_DEVICE_ID leaves the id of one that does not say who it is to the
 * host. */
typedef int32_t (*busbar_recognise_fn)(const busbar_telegram *telegram, const busbar_sink *out);

/* The functions of a plugin. It grows at its end only; null means that the plugin has no such function. */
typedef struct busbar_vtable {
    busbar_describe_fn describe;
    busbar_discover_fn discover;
    busbar_telegram_fn telegram;
    busbar_recognise_fn recognise;
} busbar_vtable;

/* Who a plugin is and what it was built against: 80 bytes without pointers. */
typedef struct busbar_record {
    /* BUSBAR_MAGIC. */
    uint8_t magic[8];
    /* Size of this record, 80. */
    uint16_t record_size;
    /* BUSBAR_ABI_MAJOR. */
    uint16_t abi_major;
    /* BUSBAR_ABI_MINOR. */
    uint16_t abi_minor;
    /* Size of a pointer in bytes. */
    uint8_t pointer_width;
    /* 1 little, 2 big (as ELF counts them). */
    uint8_t endianness;
    /* 1: nothing that unwinds leaves the plugin, and nothing that panics ends its process. C: 1. In C++ let no exception
     * out of a function that the host calls. */
    uint8_t panic_unwinds;
    /* 0 C, 1 Rust, 255 another. For people only. */
    uint8_t language;
    /* Zero. */
    uint8_t reserved[2];
    /* Size of the plugin's busbar_vtable. */
    uint32_t vtable_size;
    /* BUSBAR_LAYOUT: the layout of all that crosses. */
    uint64_t layout;
    /* Name, 1 to 32 of a-z, 0-9 and -, filled up with zeros. */
    BUSBAR_NONSTRING char name[32];
    /* Version, 1 to 16 letters, digits, '.', '-' and '+', filled up with zeros. */
    BUSBAR_NONSTRING char version[16];
} busbar_record;

/* What the exported symbol BUSBAR_PLUGIN_ENTRY holds. Reading it runs nothing. */
typedef struct busbar_entry {
    /* The same record as in the section. */
    busbar_record record;
    /* The functions; record.vtable_size bytes. */
    const busbar_vtable *vtable;
} busbar_entry;

/* BUSBAR_PLUGIN() defines both. A test of the plugin calls its functions through the entry. */
BUSBAR_EXPORT extern const busbar_record BUSBAR_PLUGIN_RECORD;
BUSBAR_EXPORT extern const busbar_entry BUSBAR_PLUGIN_ENTRY;

/* A fingerprint (FNV-1a) of the sizes and offsets of all that crossed in minor version 0, reckoned by the compiler. Two sides with different
 * ones would read each other's memory wrongly, so the host refuses a plugin whose fingerprint is not its own. */
#define BUSBAR_MIX(hash, fact) (((hash) ^ (uint64_t)(fact)) * UINT64_C(0x00000100000001b3))
#define BUSBAR_MIX_2(hash, a, b) BUSBAR_MIX(BUSBAR_MIX(hash, a), b)
#define BUSBAR_MIX_4(hash, a, b, c, d) BUSBAR_MIX_2(BUSBAR_MIX_2(hash, a, b), c, d)
#define BUSBAR_MIX_RECORD(hash)                                                                                       \
    BUSBAR_MIX_2(BUSBAR_MIX_4(hash, sizeof(busbar_record), offsetof(busbar_record, panic_unwinds),                    \
                              offsetof(busbar_record, vtable_size), offsetof(busbar_record, layout)),                 \
                 offsetof(busbar_record, name), offsetof(busbar_record, version))
#define BUSBAR_MIX_ENTRY_AND_SINK(hash)                                                                               \
    BUSBAR_MIX_4(hash, sizeof(busbar_entry), offsetof(busbar_entry, vtable), sizeof(busbar_sink),                     \
                 offsetof(busbar_sink, put))
#define BUSBAR_MIX_PROBE(hash)                                                                                        \
    BUSBAR_MIX_4(hash, sizeof(busbar_probe), offsetof(busbar_probe, function), offsetof(busbar_probe, at),            \
                 offsetof(busbar_probe, count))
#define BUSBAR_MIX_EVIDENCE(hash)                                                                                     \
    BUSBAR_MIX(BUSBAR_MIX_4(hash, sizeof(busbar_evidence), offsetof(busbar_evidence, outcome),                        \
                            offsetof(busbar_evidence, exception), offsetof(busbar_evidence, offset)),                 \
               offsetof(busbar_evidence, len))
#define BUSBAR_MIX_FORECAST(hash)                                                                                     \
    BUSBAR_MIX(BUSBAR_MIX_2(hash, sizeof(busbar_forecast), offsetof(busbar_forecast, expected_exceptions)),           \
               offsetof(busbar_forecast, possible))
#define BUSBAR_MIX_ASK(hash)                                                                                          \
    BUSBAR_MIX(BUSBAR_MIX_2(BUSBAR_MIX_4(hash, sizeof(busbar_ask), offsetof(busbar_ask, units_len),                   \
                                         offsetof(busbar_ask, units), offsetof(busbar_ask, evidence)),                \
                            offsetof(busbar_ask, evidence_len), offsetof(busbar_ask, words)),                         \
               offsetof(busbar_ask, words_len))
#define BUSBAR_MIX_STEP(hash)                                                                                         \
    BUSBAR_MIX_4(hash, sizeof(busbar_step), offsetof(busbar_step, capacity), offsetof(busbar_step, len),              \
                 offsetof(busbar_step, forecast))
#define BUSBAR_LAYOUT                                                                                                 \
    BUSBAR_MIX_STEP(BUSBAR_MIX_ASK(BUSBAR_MIX_FORECAST(BUSBAR_MIX_EVIDENCE(                                           \
        BUSBAR_MIX_PROBE(BUSBAR_MIX_ENTRY_AND_SINK(BUSBAR_MIX_RECORD(UINT64_C(0xcbf29ce484222325))))))))

BUSBAR_ASSERT(sizeof(busbar_record) == 80, "a record has 80 bytes");
BUSBAR_ASSERT(offsetof(busbar_record, panic_unwinds) == 16, "the first 16 bytes of a record never change");
BUSBAR_ASSERT(offsetof(busbar_record, layout) == 24, "the compiler pads a record otherwise than the host");
BUSBAR_ASSERT(sizeof(busbar_probe) == 6, "the compiler pads a probe");
BUSBAR_ASSERT(sizeof(busbar_evidence) == 16, "the compiler pads evidence otherwise than the host");
BUSBAR_ASSERT(sizeof(busbar_vtable) == 4 * sizeof(void *), "a function pointer is as wide as any other");

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BUSBAR_ENDIANNESS 1
#else
#define BUSBAR_ENDIANNESS 2
#endif

#define BUSBAR_RECORD_OF(name_, version_)                                                                             \
    {                                                                                                                 \
        BUSBAR_MAGIC, sizeof(busbar_record), BUSBAR_ABI_MAJOR, BUSBAR_ABI_MINOR, sizeof(void *), BUSBAR_ENDIANNESS,   \
            1 /* panic_unwinds */, BUSBAR_LANGUAGE, {0, 0}, sizeof(busbar_vtable), BUSBAR_LAYOUT, name_, version_     \
    }

/* Exports a plugin from its library; once, at the top level:
 *
 *     BUSBAR_PLUGIN("acme", "1.0.0", describe, discover);
 *
 * name_: 1 to 32 of a-z, 0-9 and -, a string literal (in C++ at most 31). version_: 1 to 16 letters, digits, '.', '-' and
 * '+', a string literal (in C++ at most 15). describe_: required. discover_: NULL for a plugin that only brings ledgers.
 * The compiler checks the lengths; the host, and `busbar plugin check`, the characters. */
#define BUSBAR_PLUGIN(name_, version_, describe_, discover_)                                                          \
    BUSBAR_LISTENER(name_, version_, describe_, discover_, NULL, NULL)

/* The same for a plugin that takes telegrams, with BUSBAR_TAG_TELEGRAMS in its description: both functions, or none. */
#define BUSBAR_LISTENER(name_, version_, describe_, discover_, telegram_, recognise_)                                 \
    BUSBAR_ASSERT(sizeof(name_) - 1 >= 1 && sizeof(name_) - 1 <= 32, "a plugin's name is 1 to 32 of a-z, 0-9 and -"); \
    BUSBAR_ASSERT(sizeof(version_) - 1 >= 1 && sizeof(version_) - 1 <= 16,                                            \
                  "a plugin's version is 1 to 16 letters, digits, '.', '-' and '+'");                                 \
    static const busbar_vtable busbar_plugin_vtable_ = {describe_, discover_, telegram_, recognise_};                \
    __attribute__((used, section(BUSBAR_RECORD_SECTION)))                                                             \
    const busbar_record BUSBAR_PLUGIN_RECORD = BUSBAR_RECORD_OF(name_, version_);                                     \
    __attribute__((used))                                                                                             \
    const busbar_entry BUSBAR_PLUGIN_ENTRY = {BUSBAR_RECORD_OF(name_, version_), &busbar_plugin_vtable_}

/* ---------------------------------------------------------------------------------------------------------------------
 * Small helpers. All of them can be done without.
 */

/* Puts `len` bytes of text into the sink. BUSBAR_DONE or BUSBAR_TOO_MUCH. */
static inline int32_t busbar_put(const busbar_sink *out, uint32_t tag, const void *data, size_t len)
{
    return out->put(out->context, tag, (const uint8_t *)data, len) == 0 ? BUSBAR_DONE : BUSBAR_TOO_MUCH;
}

/* The same for a text with a zero at its end. NULL puts nothing. */
static inline int32_t busbar_put_text(const busbar_sink *out, uint32_t tag, const char *text)
{
    size_t len = 0;
    if (text == NULL)
        return BUSBAR_DONE;
    while (text[len] != '\0')
        len++;
    return busbar_put(out, tag, text, len);
}

/* A number as decimal digits. `text` has room for `size` bytes, the zero included: 11 hold any; what does not fit is left
 * out. */
static inline void busbar_decimal(uint32_t number, char *text, size_t size)
{
    char digits[10];
    size_t from = sizeof digits, at = 0;
    do {
        digits[--from] = (char)('0' + (char)(number % 10));
        number /= 10;
    } while (number > 0);
    if (size == 0)
        return;
    while (from < sizeof digits && at + 1 < size)
        text[at++] = digits[from++];
    text[at] = '\0';
}

/* Puts a number into the sink, as decimal digits. */
static inline int32_t busbar_put_number(const busbar_sink *out, uint32_t tag, uint32_t number)
{
    char digits[11];
    busbar_decimal(number, digits, sizeof digits);
    return busbar_put_text(out, tag, digits);
}

/* Says why a call fails: return busbar_fail(out, "…"); */
static inline int32_t busbar_fail(const busbar_sink *out, const char *reason)
{
    /* An error that does not fit is cut by the host; there is nobody else to tell. */
    (void)busbar_put_text(out, BUSBAR_TAG_ERROR, reason);
    return BUSBAR_FAILED;
}

/* A ledger that the plugin brings; only in describe(). `file` is the ledger's name with .toml, `text` TOML of `len` bytes
 * (without a zero at its end). */
static inline int32_t busbar_put_ledger(const busbar_sink *out, const char *file, const void *text, size_t len)
{
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_LEDGER, file));
    return busbar_put(out, BUSBAR_TAG_LEDGER_TEXT, text, len);
}

/* A device that was found; NULL for what is not known. */
typedef struct busbar_found {
    /* Modbus unit identifier. */
    uint8_t unit;
    /* The name of its ledger: "acme/one". */
    const char *ledger;
    /* Its id, see BUSBAR_TAG_DEVICE_ID; busbar_make_id() makes one. */
    const char *id;
    /* The name that its owner gave it. */
    const char *name;
    /* The maker's name for the model. */
    const char *model;
    /* Serial number. */
    const char *serial;
    /* Firmware version, as people write it. */
    const char *firmware;
    /* The text of a ledger made for this one device: see BUSBAR_TAG_DEVICE_LEDGER_TEXT. */
    const char *ledger_text;
} busbar_found;

/* Puts a device into the verdict; the verdict has begun with BUSBAR_TAG_NOTE. */
static inline int32_t busbar_put_found(const busbar_sink *out, const busbar_found *found)
{
    BUSBAR_TRY(busbar_put_number(out, BUSBAR_TAG_DEVICE, found->unit));
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_DEVICE_LEDGER, found->ledger));
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_DEVICE_ID, found->id));
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_DEVICE_NAME, found->name));
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_DEVICE_MODEL, found->model));
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_DEVICE_SERIAL, found->serial));
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_DEVICE_FIRMWARE, found->firmware));
    return busbar_put_text(out, BUSBAR_TAG_DEVICE_LEDGER_TEXT, found->ledger_text);
}

/* Asks for one more read. Fails, with the reason in the sink, where no more fit into this step. */
static inline int32_t busbar_add_probe(busbar_step *step, const busbar_sink *out, uint8_t unit, uint8_t function,
                                       uint16_t at, uint16_t count)
{
    busbar_probe *probe;
    if (step->len >= step->capacity)
        return busbar_fail(out, "more probes in one step than the host takes; ask for the rest in the next one");
    probe = &step->probes[step->len++];
    probe->unit = unit;
    probe->function = function;
    probe->at = at;
    probe->count = count;
    return BUSBAR_DONE;
}

/* The words with which a device answered a probe, or NULL: where it did not answer with words, with fewer than
 * `at_least`, or where the evidence points outside of the words. */
static inline const uint16_t *busbar_words(const busbar_ask *ask, const busbar_evidence *evidence, size_t at_least)
{
    if (evidence->outcome != BUSBAR_WORDS || evidence->len < at_least || evidence->len == 0)
        return NULL;
    if (evidence->offset > ask->words_len || evidence->len > ask->words_len - evidence->offset)
        return NULL;
    return ask->words + evidence->offset;
}

/* The text in `count` registers, two characters each, the first in the high byte: up to the first zero, without blanks at
 * its end, and with '?' for what is not ASCII. `text` has room for `size` bytes, the zero included; what does not fit is
 * left out. Returns its length. */
static inline size_t busbar_text(const uint16_t *words, size_t count, char *text, size_t size)
{
    size_t len = 0, at;
    if (size == 0)
        return 0;
    for (at = 0; at < 2 * count && len + 1 < size; at++) {
        const uint16_t word = words[at / 2];
        const unsigned byte = at % 2 == 0 ? (unsigned)word >> 8 : (unsigned)word & 0xFFu;
        if (byte == 0)
            break;
        text[len++] = byte >= 0x20 && byte < 0x7F ? (char)byte : '?';
    }
    while (len > 0 && text[len - 1] == ' ')
        len--;
    text[len] = '\0';
    return len;
}

/* An id of these two texts, "acme" and "A-12" to "acme_a_12": small letters, with _ for what may not stand in an id. `id`
 * has room for `size` bytes, the zero included; what does not fit is left out. */
static inline void busbar_make_id(char *id, size_t size, const char *kind, const char *serial)
{
    size_t len = 0, part, at;
    const char *parts[3];
    parts[0] = kind;
    parts[1] = "_";
    parts[2] = serial;
    if (size == 0)
        return;
    for (part = 0; part < 3; part++) {
        for (at = 0; parts[part][at] != '\0' && len + 1 < size; at++) {
            char c = parts[part][at];
            if (c >= 'A' && c <= 'Z')
                c = (char)(c - 'A' + 'a');
            if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
                c = '_';
            id[len++] = c;
        }
    }
    id[len] = '\0';
}

/* clang-format on */

#ifdef __cplusplus
}
#endif

#endif
