"""What dsmr_parser makes of a telegram, line by line, as JSON.

dsmr_parser_says.py PROFILE FILE [KEY AUTH_KEY]

FILE is a telegram of text, or the hexadecimal digits of an encrypted one. A telegram of text for a profile that is
encrypted is sealed with the keys first, and what came of it is told as "sealed".
"""
import json
import sys
from datetime import datetime
from decimal import Decimal

from dlms_cosem.security import SecurityControlField, encrypt
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser

profile, path, *keys = sys.argv[1:]
spec = dict(getattr(telegram_specifications, profile))
said = []


def value(part):
    inner, unit = part["value"], part["unit"]
    if isinstance(inner, datetime):
        return {"time": int(inner.timestamp())}
    if isinstance(inner, Decimal):
        return {"number": str(inner), "unit": unit}
    if isinstance(inner, int):
        return {"number": str(inner), "unit": unit}
    if isinstance(inner, str):
        return {"text": inner}
    return None


class Recorder:
    def __init__(self, parser):
        self.parser = parser

    def parse(self, line):
        result = self.parser.parse(line)
        parts = [part for each in (result if isinstance(result, list) else [result]) for part in each.values]
        # The gas of old telegrams has value and unit in brackets of their own.
        if len(parts) == 7 and parts[5]["value"] == "m3":
            parts = [parts[0], {"value": parts[6]["value"], "unit": parts[5]["value"]}]
        said.append({"code": line.split("(")[0].strip(), "values": [v for v in map(value, parts) if v is not None]})
        return result


spec["objects"] = [dict(each, value_parser=Recorder(each["value_parser"])) for each in spec["objects"]]
data = open(path, "rb").read()
sealed = None
if not spec.get("general_global_cipher"):
    text = data.decode("latin-1")
elif data.startswith(b"/"):
    control = SecurityControlField(security_suite=0, authenticated=True, encrypted=True)
    title, counter = b"SYSTEMID", 0x10000001
    inner = encrypt(
        security_control=control,
        key=bytes.fromhex(keys[0]),
        auth_key=bytes.fromhex(keys[1]),
        system_title=title,
        invocation_counter=counter,
        plain_text=data,
    )
    rest = control.to_bytes() + counter.to_bytes(4, "big") + inner
    text = sealed = (b"\xdb\x08" + title + b"\x82" + len(rest).to_bytes(2, "big") + rest).hex()
else:
    text = "".join(data.decode("ascii").split())
TelegramParser(spec).parse(text, *keys, throw_ex=True)
print(json.dumps({"said": said, "sealed": sealed}))
