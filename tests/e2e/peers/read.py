"""Reads registers with pymodbus: `read.py REGISTERS.csv tcp|udp PORT`, `read.py REGISTERS.csv PORT BAUD`.

Prints `{"KEY": {"raw": [WORD, …], "value": VALUE}}`. pymodbus decodes; it knows no swapped bytes, so those are put
right before. What JSON has no number for (NaN, infinity) is null.
"""

import json
import math
import sys

from pymodbus.client import ModbusSerialClient, ModbusTcpClient, ModbusUdpClient

from registers import rows


def client(wire, where):
    match wire:
        case "tcp":
            return ModbusTcpClient("127.0.0.1", port=int(where))
        case "udp":
            return ModbusUdpClient("127.0.0.1", port=int(where))
        case _:
            return ModbusSerialClient(wire, baudrate=int(where))


def value(client, row, words):
    if row.order in ("BADC", "DCBA"):
        words = [word >> 8 | (word & 0xFF) << 8 for word in words]
    word_order = "big" if row.order in ("ABCD", "BADC") else "little"
    kind = client.DATATYPE["STRING" if row.type == "TEXT" else row.type]
    decoded = client.convert_from_registers(words, kind, word_order)
    if isinstance(decoded, float) and not math.isfinite(decoded):
        return None
    return decoded if row.scale == "1" else decoded * float(row.scale)


def main(path, wire, where):
    with client(wire, where) as line:
        said = {}
        for row in rows(path):
            answer = line.read_holding_registers(row.address, count=row.length, device_id=1)
            assert not answer.isError(), f"{row.key}: {answer}"
            said[row.key] = {"raw": answer.registers, "value": value(line, row, answer.registers)}
    print(json.dumps(said))


main(*sys.argv[1:])
