/* Finds my-meter meters: they say what they are in their first register.
 *
 * Change ledgers/my-meter/meter.toml into what your device has, and this file into how it is recognised. */
#include <stdio.h>

#include "busbar_plugin.h"

/* Made by the Makefile: LEDGER, the name of the ledger, and LEDGER_BYTES, what is in its file. */
#include "build/ledger.h"

static const unsigned char LEDGER_TEXT[] = {LEDGER_BYTES};

/* The units that the maker uses, likeliest first. */
static const uint8_t UNITS[] = {1, 2, 3};
/* One read of a unit tells all: here ten holding registers from 0 on, with the signature at 0, the serial number at 1 to 8,
 * and the firmware at 9. judge() takes them apart. */
#define FUNCTION 3
#define AT 0
#define COUNT 10
/* What the first of them holds in every such meter. */
#define SIGNATURE 0x4D31

static int32_t describe(const busbar_sink *out)
{
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_TITLE, "My meters"));
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_SUMMARY,
                               "Recognises the meter by the signature in its first register"));
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_LICENCE, "MIT OR Apache-2.0"));
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_DISCOVERS, ""));
    return busbar_put_ledger(out, LEDGER ".toml", LEDGER_TEXT, sizeof LEDGER_TEXT);
}

static int is_usual(uint8_t unit)
{
    for (size_t i = 0; i < sizeof UNITS; i++)
        if (UNITS[i] == unit)
            return 1;
    return 0;
}

/* Asks for the read of each unit that the scan is to look at. */
static int32_t question(const busbar_ask *ask, busbar_step *step, const busbar_sink *out)
{
    switch (ask->mode) {
    case BUSBAR_QUICK:
    case BUSBAR_FULL:
        /* The maker's units first, in a full scan, too: it may be stopped once the meter is found. */
        for (size_t i = 0; i < sizeof UNITS; i++)
            BUSBAR_TRY(busbar_add_probe(step, out, UNITS[i], FUNCTION, AT, COUNT));
        for (uint8_t unit = 1; ask->mode == BUSBAR_FULL && unit <= 247; unit++)
            if (!is_usual(unit))
                BUSBAR_TRY(busbar_add_probe(step, out, unit, FUNCTION, AT, COUNT));
        break;
    case BUSBAR_LISTED:
        for (uint32_t i = 0; i < ask->units_len; i++)
            BUSBAR_TRY(busbar_add_probe(step, out, ask->units[i], FUNCTION, AT, COUNT));
        break;
    default:
        return busbar_fail(out, "this scan mode is newer than the plugin");
    }
    step->forecast.remaining = (uint32_t)step->len;
    step->forecast.possible = (uint32_t)step->len;
    /* Nothing to ask is the end, and the end has a verdict. */
    return step->len > 0 ? BUSBAR_DONE : busbar_put_text(out, BUSBAR_TAG_NOTE, "");
}

/* Puts the meters among those that answered into the verdict. */
static int32_t judge(const busbar_ask *ask, const busbar_sink *out)
{
    BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_NOTE, ""));
    for (size_t i = 0; i < ask->evidence_len; i++) {
        const busbar_evidence *evidence = &ask->evidence[i];
        const uint16_t *words = busbar_words(ask, evidence, COUNT);
        if (words == NULL || words[0] != SIGNATURE)
            continue;
        char serial[17], id[64], firmware[11];
        if (busbar_text(words + 1, 8, serial, sizeof serial) == 0) {
            /* An id must be the same for ever; without a serial number there is nothing to make it of. */
            char note[64];
            snprintf(note, sizeof note, "the meter at unit %u does not say its serial number",
                     (unsigned)evidence->probe.unit);
            BUSBAR_TRY(busbar_put_text(out, BUSBAR_TAG_NOTE, note));
            continue;
        }
        busbar_make_id(id, sizeof id, "my_meter", serial);
        busbar_decimal(words[9], firmware, sizeof firmware);
        const busbar_found found = {
            .unit = evidence->probe.unit,
            .ledger = LEDGER,
            .id = id,
            .name = NULL,
            .model = "M1",
            .serial = serial,
            .firmware = firmware,
            .ledger_text = NULL,
        };
        BUSBAR_TRY(busbar_put_found(out, &found));
    }
    return BUSBAR_DONE;
}

/* The conversation: called again with all evidence until it asks for no more. It keeps nothing in between. */
static int32_t discover(const busbar_ask *ask, busbar_step *step, const busbar_sink *out)
{
    return ask->evidence_len == 0 ? question(ask, step, out) : judge(ask, out);
}

BUSBAR_PLUGIN("my-meter", "0.1.0", describe, discover);
