/* Conversations without a device, through the same entry that Busbar uses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "busbar_plugin.h"

#define CHECK(truth)                                                            \
    do {                                                                        \
        if (!(truth)) {                                                         \
            fprintf(stderr, "test.c:%d: not so: %s\n", __LINE__, #truth);       \
            exit(1);                                                            \
        }                                                                       \
    } while (0)

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
    const int wrote = snprintf(said->text + said->len, room, "%u=%.*s\n", (unsigned)tag, shown, (const char *)data);
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
    CHECK(strcmp(said.text, "32=\n33=" UNIT_AS_TEXT "\n34=my-meter/meter\n35=my_meter_ab12\n37=M1\n38=AB12\n39=7\n") == 0);
}

static void another_device_is_none_of_ours(void)
{
    uint16_t other[LEN];
    memcpy(other, ANSWER, sizeof other);
    other[0] = 0x1234;
    CHECK(strcmp(talk(BUSBAR_FULL, NULL, 0, other, LEN).text, "32=\n") == 0);
    /* Too few words. */
    CHECK(strcmp(talk(BUSBAR_FULL, NULL, 0, ANSWER, LEN - 1).text, "32=\n") == 0);
}

static void a_meter_without_a_serial_number_is_told_of_and_not_taken(void)
{
    uint16_t nameless[LEN];
    memcpy(nameless, ANSWER, sizeof nameless);
    memset(nameless + 1, 0, sizeof nameless - sizeof nameless[0]);
    const struct said said = talk(BUSBAR_QUICK, NULL, 0, nameless, LEN);
    CHECK(strcmp(said.text, "32=\n32=the meter at unit " UNIT_AS_TEXT " does not say its serial number\n") == 0);
}

static void only_the_listed_units_are_asked(void)
{
    const uint8_t units[] = {99, UNIT};
    CHECK(strstr(talk(BUSBAR_LISTED, units, 2, ANSWER, LEN).text, "my_meter_ab12") != NULL);
    CHECK(strcmp(talk(BUSBAR_LISTED, units, 1, ANSWER, LEN).text, "32=\n") == 0);
    CHECK(strcmp(talk(BUSBAR_LISTED, NULL, 0, ANSWER, LEN).text, "32=\n") == 0);
}

static void it_brings_its_ledger(void)
{
    struct said said = {.len = 0};
    const busbar_sink out = {&said, put};
    CHECK(BUSBAR_PLUGIN_ENTRY.vtable->describe(&out) == BUSBAR_DONE);
    /* `busbar plugin check` looks at the rest of it. */
    CHECK(strstr(said.text, "20=my-meter/meter.toml\n21=") != NULL);
}

int main(void)
{
    a_meter_is_found_by_its_signature();
    another_device_is_none_of_ours();
    a_meter_without_a_serial_number_is_told_of_and_not_taken();
    only_the_listed_units_are_asked();
    it_brings_its_ledger();
    puts("all is well");
    return 0;
}
