"""A device made with pymodbus: `serve.py REGISTERS.csv tcp|udp`, `serve.py REGISTERS.csv PORT BAUD`.

Each value is laid into registers with `struct`, not with pymodbus; what the list does not name is refused. Prints
`ready`, and the network port where it has one, once it answers.
"""

import asyncio
import logging
import sys

from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from registers import rows


def blocks(path):
    """The registers of a list as runs without a hole."""
    words = {at: word for row in rows(path) for at, word in enumerate(row.words(), row.address)}
    start = None
    for at in sorted(words):
        if at - 1 not in words:
            start = at
        if at + 1 not in words:
            run = [words[i] for i in range(start, at + 1)]
            yield SimData(start, values=run, datatype=DataType.REGISTERS)


async def serve(path, wire, *line):
    device = SimDevice(1, list(blocks(path)))
    if line:
        server = ModbusSerialServer(device, port=wire, baudrate=int(line[0]))
    else:
        kind = {"tcp": ModbusTcpServer, "udp": ModbusUdpServer}[wire]
        server = kind(device, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    match wire:
        case "tcp":
            print("ready", server.transport.sockets[0].getsockname()[1], flush=True)
        case "udp":
            print("ready", server.transport.get_extra_info("sockname")[1], flush=True)
        case _:
            print("ready", flush=True)
    await server.serving


# A request for a register that is not there is expected, and not worth a line.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
asyncio.run(serve(*sys.argv[1:]))
