"""A Home Assistant of this Python's environment, and a client of its WebSocket interface."""

import asyncio
import itertools
from pathlib import Path

import aiohttp

from processes import Process, free_port, hass, until

CONFIGURATION = """
homeassistant:
  name: Test
  unit_system: metric
  time_zone: UTC
  country: NL
  currency: EUR
  latitude: 52
  longitude: 5
  elevation: 0
http:
  server_host: 127.0.0.1
  server_port: {port}
api:
websocket_api:
config:
recorder:
history:
energy:
logger:
  default: info
"""


class HomeAssistant:
    """Home Assistant with its own directory and port."""

    def __init__(self, work: Path):
        self.work = work
        self.config = work / "config"
        self.config.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (self.config / "configuration.yaml").write_text(CONFIGURATION.format(port=self.port))
        self.log = work / "home-assistant.log"
        self.process = self.session = self.socket = self.token = self.entry = None
        self.numbers = itertools.count(1)

    async def start(self):
        self.process = Process(self.log, hass(), "-c", self.config, "--skip-pip")
        self.session = aiohttp.ClientSession()
        await until("Home Assistant answers", self._answers, 120)
        if self.token is None:
            await self._user()
        self.socket = await self.session.ws_connect(f"{self.url}/api/websocket", max_msg_size=0)
        await self.socket.receive_json()
        await self.socket.send_json({"type": "auth", "access_token": self.token})
        assert (await self.socket.receive_json())["type"] == "auth_ok"
        await until("Home Assistant runs", self._runs, 120)

    async def _answers(self):
        try:
            async with self.session.get(f"{self.url}/api/onboarding") as answer:
                return answer.status in (200, 401, 404)
        except aiohttp.ClientError:
            return False

    async def _runs(self):
        return (await self.ask("get_config"))["state"] == "RUNNING"

    async def _user(self):
        client = f"{self.url}/"
        user = {"client_id": client, "name": "t", "username": "t", "password": "t", "language": "en"}
        async with self.session.post(f"{self.url}/api/onboarding/users", json=user) as answer:
            code = (await answer.json())["auth_code"]
        form = {"client_id": client, "grant_type": "authorization_code", "code": code}
        async with self.session.post(f"{self.url}/auth/token", data=form) as answer:
            tokens = await answer.json()
        self.token = tokens["access_token"]

    async def stop(self):
        if self.socket:
            await self.socket.close()
        if self.session:
            await self.session.close()
        if self.process:
            await asyncio.to_thread(self.process.stop)
        self.process = self.session = self.socket = None

    async def ask(self, kind: str, **arguments):
        """One question on the WebSocket, and its answer."""
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "type": kind, **arguments})
        while True:
            answer = await self.socket.receive_json()
            if answer.get("id") == number and answer["type"] == "result":
                assert answer["success"], f"{kind} {arguments}: {answer['error']}"
                return answer["result"]

    async def post(self, path: str, body: dict | None = None) -> dict:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.session.post(f"{self.url}/api/{path}", json=body or {}, headers=headers) as answer:
            assert answer.status < 300, f"{path}: {answer.status} {await answer.text()}"
            return await answer.json()

    async def join_broker(self, port: int):
        """Adds the MQTT integration as a user does."""
        flow = await self.post("config/config_entries/flow", {"handler": "mqtt"})
        done = await self.post(f"config/config_entries/flow/{flow['flow_id']}", {"broker": "127.0.0.1", "port": port})
        assert done["type"] == "create_entry", done
        self.entry = done["result"]["entry_id"]

    async def reload(self):
        await self.post(f"config/config_entries/entry/{self.entry}/reload")

    async def registry(self) -> dict[str, list[dict]]:
        """Entities of MQTT by their unique id; a sensor and its control have ids of their own."""
        found: dict[str, dict] = {}
        for entity in await self.ask("config/entity_registry/list"):
            if entity["platform"] == "mqtt":
                found[entity["unique_id"]] = entity
        if not found or "unique_id" not in next(iter(found.values())):
            raise AssertionError("no entity yet")
        return found

    async def devices(self) -> dict[str, dict]:
        """Devices of MQTT by their id at Busbar."""
        devices = await self.ask("config/device_registry/list")
        return {value: device for device in devices for kind, value in device["identifiers"] if kind == "mqtt"}

    async def states(self) -> dict[str, dict]:
        return {state["entity_id"]: state for state in await self.ask("get_states")}

    async def call(self, domain: str, service: str, entity: str, **data):
        await self.ask("call_service", domain=domain, service=service, service_data=data, target={"entity_id": entity})

    def complaints(self) -> list[str]:
        """Warnings and errors that name MQTT, templates, sensors or Busbar, and what follows them."""
        found, about = [], ("mqtt", "template", "sensor", "busbar", "recorder", "number", "select", "energy")
        for line in self.log.read_text(errors="replace").splitlines():
            serious = " WARNING " in line or " ERROR " in line
            if serious and any(word in line.lower() for word in about):
                found.append(line)
        return found
