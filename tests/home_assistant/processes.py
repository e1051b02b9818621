"""The processes of the test: a broker, simulated devices, Busbar and Home Assistant, each on ports of its own."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def until(what, condition, seconds=60.0):
    """Asks again and again until `condition` gives something, and gives that."""
    last = None
    for _ in range(int(seconds / 0.2)):
        try:
            if found := await condition():
                return found
        except (AssertionError, OSError, KeyError) as fault:
            last = fault
        await asyncio.sleep(0.2)
    raise AssertionError(f"not within {seconds:.0f} s: {what}" + (f" ({last})" if last else ""))


class Process:
    """A program whose output goes to a file."""

    def __init__(self, log: Path, *command, env=None):
        self.log = log
        with log.open("ab") as out:
            self.child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )

    def stop(self, patience=30):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()

    async def says(self, pattern: str, seconds=60.0):
        async def said():
            assert self.child.poll() is None, f"{self.log.name} ended: {self.log.read_text()[-2000:]}"
            return re.search(pattern, self.log.read_text(errors="replace"))

        return await until(f"{pattern!r} in {self.log}", said, seconds)


class Broker(Process):
    """mosquitto."""

    def __init__(self, work: Path):
        self.port = free_port()
        config = work / "mosquitto.conf"
        config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        super().__init__(work / "mosquitto.log", "mosquitto", "-c", config)

    def retained(self, topic: str) -> dict[str, str]:
        """What the broker keeps of these topics."""
        command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.port), "-t", topic, "-v", "-W", "2", "-F", "%t %p"]
        lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        return dict(line.split(" ", 1) for line in lines if " " in line)


class Busbar:
    """The program with a data directory, and the simulated house that it reads."""

    def __init__(self, work: Path, program: Path, broker: Broker, form: str):
        self.work, self.program, self.broker = work, program, broker
        self.host = self.site = None
        self.form = form
        self.ports = {old: free_port() for old in ("1502", "1503", "1504")}

    def common(self):
        return "--data-dir", self.work / "data", "--config", self.work / "busbar.toml"

    def start_site(self):
        text = (REPOSITORY / "host/simulate/sites/demo.toml").read_text()
        for old, new in self.ports.items():
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
        site = self.work / "site.toml"
        site.write_text(text)
        self.site = Process(self.work / "site.log", self.program, "simulate", site)

    def configure(self, allow: list[str]):
        entries = ", ".join(f'"{entry}"' for entry in allow)
        ports = self.ports
        (self.work / "busbar.toml").write_text(f"""
[web]
listen = "127.0.0.1:{free_port()}"
[mqtt]
url = "mqtt://127.0.0.1:{self.broker.port}"
home_assistant = {{ form = "{self.form}" }}
[site]
ac_voltage = 230
phases = 3
ac_current = 24
dc_current = 100
battery = "lifepo4-16s"
[[connection]]
name = "gx"
url = "modbus+tcp://127.0.0.1:{ports['1502']}"
interval = "1s"
[connection.writes]
level = 3
allow = [{entries}]
[[connection]]
name = "grid-meter"
url = "modbus+udp://127.0.0.1:{ports['1504']}"
interval = "1s"
[[connection]]
name = "meter"
url = "modbus+tcp://127.0.0.1:{ports['1503']}"
interval = "1s"
""")

    def start(self):
        self.host = Process(self.work / "busbar.log", self.program, *self.common(), "run")

    def ask(self, *command) -> dict:
        done = subprocess.run(
            [str(part) for part in (self.program, *self.common(), "--json", *command)],
            capture_output=True, text=True, check=False,
        )
        assert done.returncode == 0, f"busbar {command}: {done.stdout} {done.stderr}"
        return json.loads(done.stdout)

    def entities(self) -> dict[str, dict]:
        """All entities by their id in Home Assistant."""
        return {entity["id"].replace(".", "_", 1): entity for entity in self.ask("entities")["entities"]}

    def stop(self):
        for process in (self.host, self.site):
            if process:
                process.stop()


def hass(python: str = sys.executable) -> Path:
    """The program of Home Assistant beside this Python."""
    return Path(python).parent / "hass"
