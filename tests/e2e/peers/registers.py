"""Lists of registers: CSV with the columns key, address, type, length, order, scale, value."""

import csv
import struct
from dataclasses import dataclass
from decimal import Decimal

LETTERS = {
    "INT16": "h", "UINT16": "H", "INT32": "i", "UINT32": "I",
    "INT64": "q", "UINT64": "Q", "FLOAT32": "f", "FLOAT64": "d",
}  # fmt: skip


@dataclass
class Row:
    key: str
    address: int
    type: str
    length: int
    order: str
    scale: str
    value: str

    def words(self):
        """The value as the registers of its device."""
        pairs = [self.bytes()[i : i + 2] for i in range(0, 2 * self.length, 2)]
        if self.order in ("CDAB", "DCBA"):
            pairs.reverse()
        if self.order in ("BADC", "DCBA"):
            pairs = [pair[::-1] for pair in pairs]
        return [struct.unpack(">H", pair)[0] for pair in pairs]

    def bytes(self):
        """The value as its bytes, the highest first."""
        if self.type == "TEXT":
            return self.value.encode().ljust(2 * self.length, b"\0")
        letter = LETTERS[self.type]
        if letter in "fd":
            return struct.pack(">" + letter, float(self.value))
        steps = Decimal(self.value) / Decimal(self.scale)
        assert steps == int(steps), f"{self.key}: {self.value} is no multiple of {self.scale}"
        return struct.pack(">" + letter, int(steps))


def rows(path):
    """The rows of a list."""
    with open(path, newline="", encoding="utf-8") as file:
        table = [Row(**row) for row in csv.DictReader(file)]
    for row in table:
        row.address, row.length = int(row.address), int(row.length)
    return table
