"""Reads VSCP events in JSON, a line each, as a program of the VSCP project holds them, and prints what it makes of them."""

import json
import sys

import vscp
import vscp_class
import vscp_type


def name(module, prefix, number):
    """What the project calls this number."""
    names = [n for n, value in vars(module).items() if n.startswith(prefix) and value == number]
    return names[0] if names else None


for line in sys.stdin:
    said = json.loads(line)
    event = vscp.vscpEventEx()
    event.head = said["vscpHead"]
    event.vscpclass = said["vscpClass"]
    event.vscptype = said["vscpType"]
    guid = vscp.guid(said["vscpGuid"])
    for i in range(16):
        event.guid[i] = guid.getAt(i)
    event.sizedata = len(said["vscpData"])
    for i, byte in enumerate(said["vscpData"]):
        event.data[i] = byte
    again = event.toJSON()
    data = bytes(event.data[: event.sizedata])
    print(
        json.dumps(
            {
                "class": name(vscp_class, "VSCP_CLASS", event.vscpclass),
                "type": name(vscp_type, "VSCP_TYPE_MEASUREMENT_", event.vscptype),
                "guid": event.getGuidStr(),
                "nickname": guid.getNicknameID(),
                "index": data[0],
                "unit": data[3],
                "number": float(data[4:].rstrip(b"\0")),
                "same": all(again[key] == said[key] for key in ("vscpHead", "vscpClass", "vscpType", "vscpGuid", "vscpData")),
            }
        ),
        flush=True,
    )
