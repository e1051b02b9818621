"""Busbar and a real Home Assistant, over a real broker: what an owner sees and does there.

Run with the Python of an environment that has Home Assistant in it; see .ci/home-assistant.
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

from hass import HomeAssistant
from processes import REPOSITORY, Broker, Busbar, until

SETTINGS = "c0619ab2d1e4_settings_u100"
PERCENTAGE = f"{SETTINGS}_settings_cgwacs_max_charge_percentage"
SETPOINT = f"{SETTINGS}_settings_cgwacs_ac_power_set_point"
NAME = f"{SETTINGS}_settings_system_setup_system_name"
SHAVING = f"{SETTINGS}_settings_cgwacs_always_peak_shave"
PUMP = f"{SETTINGS}_settings_pump0_auto_start_enabled"
LAST_WRITE = f"{SETTINGS}_last-write"
METER = "vm_3p75ct_hq2347demo7"
BATTERY = "c0619ab2d1e4_battery_u225"
TANK = "c0619ab2d1e4_tank_u21"
ALLOW = [
    f"victron/gx-settings:{unique.removeprefix(SETTINGS + '_')}" for unique in (PERCENTAGE, SETPOINT, NAME, SHAVING, PUMP)
]
UNITS = {"kW": "W", "MW": "W", "kVA": "VA", "kvar": "var", "Wh": "kWh", "mV": "V", "mA": "A"}


class Test:
    def __init__(self, work: Path, program: Path, form: str):
        self.broker = Broker(work)
        self.busbar = Busbar(work, program, self.broker, form)
        self.home = HomeAssistant(work)

    async def state(self, unique: str) -> dict:
        entity = (await self.home.registry())[unique]["entity_id"]
        return (await self.home.states())[entity]

    async def becomes(self, unique: str, value: str, seconds=30.0) -> dict:
        async def has():
            state = await self.state(unique)
            assert state["state"] == value, f"{unique} is {state['state']!r} {state['attributes']}"
            return state

        return await until(f"{unique} is {value!r}", has, seconds)

    async def entity(self, unique: str) -> str:
        return (await self.home.registry())[unique]["entity_id"]

    async def begin(self):
        self.busbar.configure(ALLOW)
        self.busbar.start_site()
        await self.busbar.site.says("meter")
        self.busbar.start()
        await self.home.start()
        await self.home.join_broker(self.broker.port)

    async def every_entity_appears(self):
        async def all_there():
            known = self.busbar.entities()
            registry = await self.home.registry()
            missing = known.keys() - registry.keys()
            assert known and not missing, f"{len(missing)} of {len(known)} are missing, such as {sorted(missing)[:5]}"
            return known, registry

        known, registry = await until("every entity is known to Home Assistant", all_there, 120)
        hidden = [entity for entity in registry.values() if entity["disabled_by"]]
        for unique, entity in registry.items():
            unproven = known.get(unique, {}).get("status") == "unproven"
            assert not unproven or entity["disabled_by"], f"{unique} is unproven and shown"
        for entity in hidden:
            await self.home.ask("config/entity_registry/update", entity_id=entity["entity_id"], disabled_by=None)
        await self.home.reload()

        async def all_have_states():
            states = await self.home.states()
            silent = self.silent(registry, states)
            assert not silent, f"{len(silent)} without a state, such as {silent[:5]}"
            return states

        await until("every entity has a state", all_have_states, 60)
        await self.values_are_those_of_busbar()
        print(f"   {len(known)} entities, {len(registry)} in Home Assistant, of which {len(hidden)} were hidden")

    def silent(self, registry: dict, states: dict) -> list[str]:
        """Entities that are not there. Those older versions that cannot say "unknown" say "unavailable"."""
        known = self.busbar.entities()
        unknown = {u for u, e in known.items() if e["value"] is None or e["value"] == 0} if self.busbar.form == "entities" else set()
        # The way back is there for as long as there is something to bring back.
        entities = [e for u, e in registry.items() if u not in unknown and not u.endswith("tell-again")]
        return [e["entity_id"] for e in entities if states.get(e["entity_id"], {}).get("state") in (None, "unavailable")]

    async def values_are_those_of_busbar(self):
        wrong: dict[str, str] = {}

        async def agree():
            known, registry, states = self.busbar.entities(), await self.home.registry(), await self.home.states()
            wrong.clear()
            for unique, entity in known.items():
                state = states[registry[unique]["entity_id"]]
                if fault := differs(entity, state):
                    wrong[unique] = fault
            # Values go on while both are asked.
            assert len(wrong) < 60, f"{len(wrong)} differ, such as {list(wrong.items())[:5]}"
            return True

        await until("values are those of Busbar", agree)
        steady = set(wrong)

        async def differ_no_more():
            known, registry, states = self.busbar.entities(), await self.home.registry(), await self.home.states()
            for unique in list(steady):
                if not differs(known[unique], states[registry[unique]["entity_id"]]):
                    steady.discard(unique)
            assert not steady, {unique: wrong[unique] for unique in steady}
            return True

        await until("each value was that of Busbar once", differ_no_more, 90)

    async def classes_are_those_of_busbar(self):
        states, registry = await self.home.states(), await self.home.registry()
        devices = await self.home.devices()
        for unique, entity in self.busbar.entities().items():
            attributes = states[registry[unique]["entity_id"]]["attributes"]
            unit = UNITS.get(entity["unit"], entity["unit"])
            assert attributes.get("unit_of_measurement") == unit, (unique, attributes)
            if unit in ("W", "V", "A", "kWh", "Hz"):
                assert attributes.get("device_class"), (unique, attributes)
        assert devices[BATTERY]["via_device_id"] == devices["c0619ab2d1e4_system_u100"]["id"]
        names = [device["name"] for device in devices.values()]
        assert len(names) == len(devices) == len(self.busbar.ask("devices")["devices"]), names
        for entity in registry.values():
            assert entity["entity_category"] != "config" or not entity["entity_id"].startswith("sensor."), entity

    async def energy_dashboard(self):
        registry = await self.home.registry()
        id_of = lambda unique: registry[unique]["entity_id"]
        grid = {
            "type": "grid",
            "flow_from": [flow(stat_energy_from=id_of(f"{METER}_energy_forward"), entity_energy_price=None)],
            "flow_to": [flow(stat_energy_to=id_of(f"{METER}_energy_reverse"), stat_compensation=None, entity_energy_price=None)],
            "cost_adjustment_day": 0.0,
        }
        solar = {
            "type": "solar",
            "stat_energy_from": id_of("c0619ab2d1e4_pvinverter_u20_ac_l1_energy_forward"),
            "config_entry_solar_forecast": None,
        }
        battery = {
            "type": "battery",
            "stat_energy_from": id_of(f"{BATTERY}_history_discharged_energy"),
            "stat_energy_to": id_of(f"{BATTERY}_history_charged_energy"),
        }
        device = {"stat_consumption": id_of("c0619ab2d1e4_evcharger_u40_ac_energy_forward")}
        await self.home.ask("energy/save_prefs", energy_sources=[grid, solar, battery], device_consumption=[device])

    async def energy_dashboard_is_content(self):
        async def content():
            found = await self.home.ask("energy/validate")
            issues = [issue for lists in found.values() for each in lists for issue in each]
            assert not issues, issues
            return True

        # Its statistics are made every five minutes.
        await until("the energy dashboard has no complaint", content, 340)

    async def numbers_are_set(self):
        number, sensor = await self.entity(f"{PERCENTAGE}-set"), PERCENTAGE
        await self.becomes(sensor, "100")
        await self.home.call("number", "set_value", number, value=80)
        await self.becomes(sensor, "80")
        await self.becomes(f"{PERCENTAGE}-set", "80")
        last = await self.becomes(LAST_WRITE, "Applied")
        assert last["attributes"]["entity"].endswith("max_charge_percentage"), last
        # Too soon after the first: the reason is told.
        await self.home.call("number", "set_value", number, value=70)
        last = await self.becomes(LAST_WRITE, "Refused")
        assert last["attributes"]["reason"] and "token" not in last["attributes"], last
        print(f"   refused: {last['attributes']['reason']}")
        await self.becomes(sensor, "80")

    async def what_asks_twice_is_confirmed(self):
        await self.home.call("number", "set_value", await self.entity(f"{SETPOINT}-set"), value=120)
        last = await self.becomes(LAST_WRITE, "To be confirmed")
        assert last["attributes"]["reason"], last
        await self.becomes(SETPOINT, "30")
        await self.home.call("button", "press", await self.entity(f"{SETPOINT}-confirm"))
        await self.becomes(SETPOINT, "120")
        await self.becomes(LAST_WRITE, "Applied")

    async def texts_choices_and_switches(self):
        await self.home.call("text", "set_value", await self.entity(f"{NAME}-set"), value="Casa mía")
        await self.becomes(NAME, "Casa mía")
        await self.home.call("select", "select_option", await self.entity(f"{SHAVING}-set"), option="Always")
        await self.becomes(SHAVING, "Always")
        switch = await self.entity(f"{PUMP}-set")
        await self.becomes(f"{PUMP}-set", "off")
        await self.home.call("switch", "turn_on", switch)
        await self.becomes(PUMP, "Enabled")
        await self.becomes(f"{PUMP}-set", "on")

    async def names_change_and_ids_stay(self):
        entity = await self.entity(f"{TANK}_level")
        await self.rename(TANK, "level", "Water left")
        assert await self.entity(f"{TANK}_level") == entity

    async def rename(self, device: str, key: str, name: str):
        async def asked():
            # A host that only starts is not there for a moment.
            return self.busbar.ask("change", "name", f"{device}.{key}", name)

        await until("Busbar takes the name", asked)

        async def renamed():
            return (await self.state(f"{device}_{key}"))["attributes"]["friendly_name"].endswith(name)

        await until("the new name is there", renamed)

    async def what_is_put_away_goes(self):
        self.busbar.ask("change", "put-away", f"{TANK}.capacity")

        async def gone():
            return f"{TANK}_capacity" not in await self.home.registry()

        await until("the entity is gone", gone)

    async def a_deleted_device_stays_deleted(self):
        device = (await self.home.devices())[TANK]
        await self.home.ask("config/device_registry/remove_config_entry", device_id=device["id"], config_entry_id=self.home.entry)

        async def way_back():
            return await self.entity(f"busbar_{self.host_id()}_tell-again")

        button = await until("there is a way back", way_back)
        assert TANK not in await self.home.devices()
        # Also over a restart of Busbar.
        self.busbar.host.stop()
        self.busbar.start()
        other = "c0619ab2d1e4_tank_u22"
        await self.rename(other, "level", "Water to get rid of")
        assert TANK not in await self.home.devices()
        await self.home.call("button", "press", button)

        async def back():
            return TANK in await self.home.devices()

        await until("the device is back", back)

    def host_id(self) -> str:
        return self.broker.retained("busbar/home_assistant")["busbar/home_assistant"]

    async def told_anew(self):
        state = await self.state(f"{METER}_power_total")
        return state["state"] not in ("unavailable", "unknown")

    async def home_assistant_restarts(self):
        before = set(await self.home.registry())
        await self.home.stop()
        await self.home.start()

        async def all_there():
            registry, states = await self.home.registry(), await self.home.states()
            assert before <= set(registry), sorted(before - set(registry))[:5]
            silent = self.silent(registry, states)
            assert not silent, silent[:5]
            return True

        before = {unique for unique in before if not unique.endswith("tell-again")}
        await until("everything is back", all_there)

    async def what_is_away_is_unavailable(self):
        self.busbar.host.stop()
        await self.becomes(f"{METER}_power_total", "unavailable")
        self.busbar.start()
        await until("it is back", self.told_anew)

    async def a_removed_device_goes(self):
        self.busbar.ask("change", "remove", METER, "--yes")

        async def gone():
            return METER not in await self.home.devices()

        await until("the device is gone", gone, 90)

    async def nothing_is_complained_about(self):
        # When its user deletes a device, Home Assistant says so of its own messages.
        own = f"No device components to cleanup for {TANK},"
        complaints = [line for line in self.home.complaints() if own not in line]
        assert not complaints, "\n".join(complaints[:20])
        log = (self.busbar.work / "busbar.log").read_text()
        complaints = [line for line in log.splitlines() if " WARN " in line or " ERROR " in line]
        assert not complaints, "\n".join(complaints[:20])

    async def run(self):
        steps = [
            self.begin,
            self.every_entity_appears,
            self.classes_are_those_of_busbar,
            self.energy_dashboard,
            self.numbers_are_set,
            self.what_asks_twice_is_confirmed,
            self.texts_choices_and_switches,
            self.names_change_and_ids_stay,
            self.what_is_put_away_goes,
            self.a_deleted_device_stays_deleted,
            self.what_is_away_is_unavailable,
            self.energy_dashboard_is_content,
            self.home_assistant_restarts,
            self.a_removed_device_goes,
            self.nothing_is_complained_about,
        ]
        try:
            for step in steps:
                began = time.monotonic()
                await step()
                print(f"ok {step.__name__.replace('_', ' ')} ({time.monotonic() - began:.1f} s)", flush=True)
        finally:
            await self.home.stop()
            self.busbar.stop()
            self.broker.stop()


def flow(**flow):
    return {"number_energy_price": None, **flow}


def differs(entity: dict, state: dict) -> str | None:
    """Why a state is not what Busbar says, if it is not."""
    value, shown = entity.get("value"), state["state"]
    if value is None:
        return None if shown in ("unknown", "unavailable") else f"{shown!r} is known"
    if state["attributes"].get("device_class") in ("timestamp", "enum"):
        return None
    if isinstance(value, str):
        return None if shown == value or (shown == "unknown" and not value) else f"{shown!r} instead of {value!r}"
    try:
        number = float(shown)
    except ValueError:
        return f"{shown!r} instead of {value}"
    if UNITS.get(entity["unit"]):
        return None
    near = abs(number - value) <= 0.02 * abs(value) + 0.5
    return None if near else f"{shown} instead of {value}"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", type=Path, default=REPOSITORY / "target/release/busbar")
    arguments.add_argument("--form", choices=["device", "entities"], default="device")
    arguments.add_argument("--keep", type=Path, help="a directory for logs; else they are removed")
    given = arguments.parse_args()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        asyncio.run(Test(given.keep.resolve(), given.program, given.form).run())
        return
    with tempfile.TemporaryDirectory(prefix="busbar-ha-") as work:
        asyncio.run(Test(Path(work), given.program, given.form).run())


if __name__ == "__main__":
    main()
