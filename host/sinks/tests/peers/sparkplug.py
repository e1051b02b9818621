"""A host application of Sparkplug B: says what it hears, a line of JSON each, and sends what it is told to.

Lines on standard input: `ncmd NODE`, `dcmd NODE DEVICE METRIC NUMBER`, `state HOST true|false`.
"""

import json
import sys
import threading
import time

import paho.mqtt.client as paho
import pysparkplug as sp

PORT = int(sys.argv[1])
GROUP = sys.argv[2]
KINDS = {
    "NBIRTH": sp.NBirth,
    "DBIRTH": sp.DBirth,
    "DDATA": sp.DData,
    "NDEATH": sp.NDeath,
    "DDEATH": sp.DDeath,
}
births = {}
subscribed = threading.Event()


def say(what):
    print(json.dumps(what), flush=True)


def on_message(client, userdata, message):
    parts = message.topic.split("/")
    if len(parts) < 4 or parts[2] not in KINDS:
        return
    kind, whose = parts[2], "/".join(parts[3:])
    try:
        kwargs = {"birth": births[whose]} if kind == "DDATA" else {}
        payload = KINDS[kind].decode(message.payload, **kwargs)
    except Exception as fault:
        say({"kind": kind, "of": whose, "fault": repr(fault)})
        return
    if kind.endswith("BIRTH"):
        births[whose] = payload
    metrics = {
        m.name: {"value": m.value, "type": m.datatype.name, "alias": m.alias, "null": m.is_null}
        for m in getattr(payload, "metrics", [])
    }
    say(
        {
            "kind": kind,
            "of": whose,
            "seq": getattr(payload, "seq", None),
            "bd_seq": payload.bd_seq_metric.value if kind == "NDEATH" else None,
            "metrics": metrics,
            "retain": bool(message.retain),
        }
    )


client = paho.Client(client_id="host")
client.on_message = on_message
client.on_subscribe = lambda *_: subscribed.set()
client.connect("127.0.0.1", PORT)
client.loop_start()
client.subscribe("spBv1.0/#", qos=1)
subscribed.wait(30)
say({"kind": "ready"})

for line in sys.stdin:
    words = line.split()
    now = int(time.time() * 1000)
    if words[0] == "ncmd":
        metric = sp.Metric(timestamp=now, name="Node Control/Rebirth", datatype=sp.DataType.BOOLEAN, value=True)
        payload = sp.NCmd(timestamp=now, metrics=(metric,))
        client.publish(f"spBv1.0/{GROUP}/NCMD/{words[1]}", payload.encode(include_dtypes=True), qos=1)
    elif words[0] == "dcmd":
        metric = sp.Metric(timestamp=now, name=words[3], datatype=sp.DataType.DOUBLE, value=float(words[4]))
        payload = sp.DCmd(timestamp=now, metrics=(metric,))
        client.publish(f"spBv1.0/{GROUP}/DCMD/{words[1]}/{words[2]}", payload.encode(include_dtypes=True), qos=1)
    elif words[0] == "state":
        state = json.dumps({"online": words[2] == "true", "timestamp": now})
        client.publish(f"spBv1.0/STATE/{words[1]}", state, qos=1, retain=True)
