"""Prints what the Home Assistant of this Python's environment needs besides itself for the parts that the test uses."""

import importlib.util
import json
from pathlib import Path

PARTS = ["mqtt", "energy", "recorder", "history", "config", "api", "frontend", "onboarding", "backup", "person", "sensor",
         "number", "select", "switch", "button", "text", "network", "system_health", "tag", "zone", "hardware", "logger"]


def main():
    package = importlib.util.find_spec("homeassistant").submodule_search_locations[0]
    waiting, seen, requirements = list(PARTS), set(), set()
    while waiting:
        part = waiting.pop()
        if part in seen:
            continue
        seen.add(part)
        manifest = Path(package) / "components" / part / "manifest.json"
        if manifest.exists():
            known = json.loads(manifest.read_text())
            requirements.update(known.get("requirements", []))
            waiting += known.get("dependencies", [])
    print("\n".join(sorted(requirements)))


if __name__ == "__main__":
    main()
