/* Conversations without a device, through the same entry that Busbar uses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "build/ledger.h"
#include "busbar_plugin.h"

/* The test that is running. */
static const char *running = "";

#define CHECK(truth)                                                            \
    do {                                                                        \
        if (!(truth)) {                                                         \
            fprintf(stderr, "test.c:%d: %s: not so: %s\n", __LINE__, running, #truth); \
            exit(1);                                                            \
        }                                                                       \
    } while (0)

/* What was said, against what should have been, or how it should have begun. */
#define SAYS(got, wanted) same(__LINE__, got, wanted, 0)
#define BEGINS(got, wanted) same(__LINE__, got, wanted, 1)

static void same(int line, const char *got, const char *wanted, int only_begin)
{
    const int right = only_begin ? strncmp(got, wanted, strlen(wanted)) == 0 : strcmp(got, wanted) == 0;
    if (!right) {
        fprintf(stderr, "test.c:%d: %s\n--- wanted%s\n%s--- got\n%s---\n", line, running,
                only_begin ? ", to begin with" : "", wanted, got);
        exit(1);
    }
}

/* A tag as it is called in busbar_plugin.h, without its BUSBAR_TAG_. */
static const char *name_of(uint32_t tag)
{
    switch (tag) {
    case BUSBAR_TAG_ERROR: return "ERROR";
    case BUSBAR_TAG_TITLE: return "TITLE";
    case BUSBAR_TAG_SUMMARY: return "SUMMARY";
    case BUSBAR_TAG_LICENCE: return "LICENCE";
    case BUSBAR_TAG_DISCOVERS: return "DISCOVERS";
    case BUSBAR_TAG_LEDGER: return "LEDGER";
    case BUSBAR_TAG_LEDGER_TEXT: return "LEDGER_TEXT";
    case BUSBAR_TAG_NOTE: return "NOTE";
    case BUSBAR_TAG_DEVICE: return "DEVICE";
    case BUSBAR_TAG_DEVICE_LEDGER: return "DEVICE_LEDGER";
    case BUSBAR_TAG_DEVICE_ID: return "DEVICE_ID";
    case BUSBAR_TAG_DEVICE_NAME: return "DEVICE_NAME";
    case BUSBAR_TAG_DEVICE_MODEL: return "DEVICE_MODEL";
    case BUSBAR_TAG_DEVICE_SERIAL: return "DEVICE_SERIAL";
    case BUSBAR_TAG_DEVICE_FIRMWARE: return "DEVICE_FIRMWARE";
    case BUSBAR_TAG_DEVICE_LEDGER_TEXT: return "DEVICE_LEDGER_TEXT";
    default: return "unknown tag";
    }
}

/* What the plugin has put into the sink: "TAG=TEXT" a line, of each text the first 60 bytes. */
struct said {
    char text[8192];
    size_t len;
};

static int32_t put(void *context, uint32_t tag, const uint8_t *data, size_t len)
{
    struct said *said = context;
    const int shown = len < 60 ? (int)len : 60;
    const size_t room = sizeof said->text - said->len;
    const int wrote = snprintf(said->text + said->len, room, "%s=%.*s\n", name_of(tag), shown, (const char *)data);
    CHECK(wrote > 0 && (size_t)wrote < room);
    said->len += (size_t)wrote;
    return 0;
}

/* What a meter with the serial number AB12 and firmware 7 answers. */
static const uint16_t ANSWER[] = {0x4D31, 0x4142, 0x3132, 0, 0, 0, 0, 0, 0, 7};
#define LEN (sizeof ANSWER / sizeof ANSWER[0])

/* The unit at which it answers; one of those that a quick scan asks. */
#define UNIT 2
#define UNIT_AS_TEXT "2"

static busbar_probe probes[BUSBAR_MAX_PROBES];
static busbar_evidence evidence[BUSBAR_MAX_PROBES];

/* The whole conversation where only that unit answers, with these words; gives what the plugin said in the end. */
static struct said talk(uint32_t mode, const uint8_t *units, uint32_t units_len, const uint16_t *words, size_t len)
{
    struct said said = {.len = 0};
    const busbar_sink out = {&said, put};
    busbar_ask ask = {.mode = mode, .units = units, .units_len = units_len, .words = words, .words_len = len};
    for (int round = 0; round < 8; round++) {
        busbar_step step = {.probes = probes, .capacity = BUSBAR_MAX_PROBES};
        memset(&said, 0, sizeof said);
        CHECK(BUSBAR_PLUGIN_ENTRY.vtable->discover(&ask, &step, &out) == BUSBAR_DONE);
        if (step.len == 0)
            return said;
        CHECK(ask.evidence_len + step.len <= BUSBAR_MAX_PROBES);
        for (size_t i = 0; i < step.len; i++) {
            busbar_evidence *became = &evidence[ask.evidence_len++];
            memset(became, 0, sizeof *became);
            became->probe = probes[i];
            became->outcome = probes[i].unit == UNIT ? BUSBAR_WORDS : BUSBAR_SILENT;
            became->len = probes[i].unit == UNIT ? (uint32_t)len : 0;
        }
        ask.evidence = evidence;
    }
    CHECK(!"the conversation ends");
    return said;
}

static void a_meter_is_found_by_its_signature(void)
{
    const struct said said = talk(BUSBAR_QUICK, NULL, 0, ANSWER, LEN);
    SAYS(said.text, "NOTE=\n"
                    "DEVICE=" UNIT_AS_TEXT "\n"
                    "DEVICE_LEDGER=" LEDGER "\n"
                    "DEVICE_ID=my_meter_ab12\n"
                    "DEVICE_MODEL=M1\n"
                    "DEVICE_SERIAL=AB12\n"
                    "DEVICE_FIRMWARE=7\n");
}

static void another_device_is_none_of_ours(void)
{
    uint16_t other[LEN];
    memcpy(other, ANSWER, sizeof other);
    other[0] = 0x1234;
    SAYS(talk(BUSBAR_FULL, NULL, 0, other, LEN).text, "NOTE=\n");
    /* Too few words. */
    SAYS(talk(BUSBAR_FULL, NULL, 0, ANSWER, LEN - 1).text, "NOTE=\n");
}

static void a_meter_without_a_serial_number_is_told_of_and_not_taken(void)
{
    uint16_t nameless[LEN];
    memcpy(nameless, ANSWER, sizeof nameless);
    memset(nameless + 1, 0, sizeof nameless - sizeof nameless[0]);
    const struct said said = talk(BUSBAR_QUICK, NULL, 0, nameless, LEN);
    SAYS(said.text, "NOTE=\nNOTE=the meter at unit " UNIT_AS_TEXT " does not say its serial number\n");
}

static void only_the_listed_units_are_asked(void)
{
    const uint8_t units[] = {99, UNIT};
    BEGINS(talk(BUSBAR_LISTED, units, 2, ANSWER, LEN).text, "NOTE=\nDEVICE=" UNIT_AS_TEXT "\n");
    SAYS(talk(BUSBAR_LISTED, units, 1, ANSWER, LEN).text, "NOTE=\n");
    SAYS(talk(BUSBAR_LISTED, NULL, 0, ANSWER, LEN).text, "NOTE=\n");
}

static void it_brings_its_ledger(void)
{
    struct said said = {.len = 0};
    const busbar_sink out = {&said, put};
    CHECK(BUSBAR_PLUGIN_ENTRY.vtable->describe(&out) == BUSBAR_DONE);
    /* `busbar plugin check` looks at the rest of it. */
    const char *ledger = strstr(said.text, "LEDGER=");
    BEGINS(ledger == NULL ? said.text : ledger, "LEDGER=" LEDGER ".toml\nLEDGER_TEXT=");
}

static void a_full_scan_asks_every_unit_once_and_the_likeliest_first(void)
{
    struct said said = {.len = 0};
    const busbar_sink out = {&said, put};
    const busbar_ask ask = {.mode = BUSBAR_FULL};
    busbar_step step = {.probes = probes, .capacity = BUSBAR_MAX_PROBES};
    CHECK(BUSBAR_PLUGIN_ENTRY.vtable->discover(&ask, &step, &out) == BUSBAR_DONE);
    unsigned asked[256] = {0};
    for (size_t i = 0; i < step.len; i++)
        asked[probes[i].unit]++;
    for (unsigned unit = 1; unit <= 247; unit++)
        CHECK(asked[unit] == 1);
    CHECK(step.len == 247);
    /* UNIT is one of the maker's; any of the others comes later. */
    CHECK(probes[0].unit == UNIT || probes[1].unit == UNIT || probes[2].unit == UNIT);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } tests[] = {
#define TEST(name) {#name, name}
        TEST(a_meter_is_found_by_its_signature),
        TEST(another_device_is_none_of_ours),
        TEST(a_meter_without_a_serial_number_is_told_of_and_not_taken),
        TEST(only_the_listed_units_are_asked),
        TEST(a_full_scan_asks_every_unit_once_and_the_likeliest_first),
        TEST(it_brings_its_ledger),
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        running = tests[i].name;
        tests[i].run();
        printf("ok %s\n", running);
    }
    puts("all is well");
    return 0;
}
