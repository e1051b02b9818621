//! Where services usually are, and how the units hang together: `gx-services.toml` and `gx-ports.toml`, read once.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use crate::unit::{GX, UNITS};

const SERVICES: &str = include_str!("../../../ledgers/victron/gx-services.toml");
const PORTS: &str = include_str!("../../../ledgers/victron/gx-ports.toml");

/// What a service has to be found with at unit 100 where the data does not say: every service can be there.
const AT_GX: u16 = 5;

/// The data, checked and laid out for lookups.
pub(crate) struct Table {
    pub(crate) services: Vec<Service>,
    /// By number, 0 to 255.
    pub(crate) units: Vec<Unit>,
    /// Every address that a probe may have, with its service and its place among that service's addresses; sorted.
    addresses: Vec<(u16, usize, usize)>,
}

/// A kind of service, `vebus` for example.
pub(crate) struct Service {
    pub(crate) name: String,
    /// Registers that show whether it exists; at most [`Service::MOST_PROBES`].
    pub(crate) probe: Vec<u16>,
    /// In how many of 10,000 sites it is at each unit; 0 where nobody expects it.
    pub(crate) likelihood: Vec<u16>,
    /// There is one at most, at unit 100: the GX itself.
    pub(crate) only_gx: bool,
    /// It may sit behind a port, and then nothing else sits there.
    pub(crate) on_port: bool,
}

impl Service {
    /// As many as fit the sets of [`crate::site::Pair`].
    const MOST_PROBES: usize = 8;
}

/// What is known of a unit.
#[derive(Clone, Copy, Default)]
pub(crate) struct Unit {
    /// The device instance that it stands for.
    instance: u16,
    /// The units of the instances before and after, where there are any: drivers number their devices in a row.
    pub(crate) before: Option<u8>,
    pub(crate) after: Option<u8>,
    /// One device at most.
    pub(crate) exclusive: bool,
    /// A port of which the maker does not say where it leads.
    pub(crate) spare: bool,
    /// The GX models that have this port, one bit each; 0 where any may.
    pub(crate) models: u8,
    /// The VE.Bus port of these models, one bit each: a hit there tells the model.
    pub(crate) betrays: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceData {
    probe: Vec<u16>,
    #[serde(default)]
    units: BTreeMap<String, u16>,
    #[serde(default)]
    ports: BTreeMap<String, u16>,
}

#[derive(Deserialize)]
struct PortsData {
    models: BTreeMap<String, ModelData>,
    kinds: BTreeMap<String, KindData>,
    units: BTreeMap<String, UnitData>,
}

#[derive(Deserialize)]
struct ModelData {
    vebus: u8,
}

#[derive(Deserialize)]
struct KindData {
    exclusive: bool,
}

#[derive(Deserialize)]
struct UnitData {
    instance: u16,
    kind: String,
    #[serde(default)]
    models: Vec<String>,
}

impl Table {
    /// The table of this build; the error says what is wrong with its data (a test proves that nothing is).
    pub(crate) fn get() -> Result<&'static Table, &'static str> {
        static TABLE: OnceLock<Result<Table, String>> = OnceLock::new();
        TABLE
            .get_or_init(|| Table::read(SERVICES, PORTS))
            .as_ref()
            .map_err(String::as_str)
    }

    fn read(services: &str, ports: &str) -> Result<Table, String> {
        let services: BTreeMap<String, ServiceData> =
            toml::from_str(services).map_err(|error| format!("gx-services.toml: {error}"))?;
        let ports: PortsData = toml::from_str(ports).map_err(|error| format!("gx-ports.toml: {error}"))?;

        let units = units(&ports)?;
        let services = services
            .into_iter()
            .map(|(name, data)| service(name, data, &ports))
            .collect::<Result<Vec<_>, _>>()?;
        let mut addresses: Vec<(u16, usize, usize)> = services
            .iter()
            .enumerate()
            .flat_map(|(s, service)| service.probe.iter().enumerate().map(move |(p, &at)| (at, s, p)))
            .collect();
        addresses.sort_unstable();
        if let Some([(at, ..), _]) = addresses.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(format!("gx-services.toml: register {at} is given twice"));
        }
        Ok(Table {
            services,
            units,
            addresses,
        })
    }

    /// Which service a probe of this address asks for, and which of its addresses that is.
    pub(crate) fn asked_at(&self, at: u16) -> Option<(usize, usize)> {
        let found = self.addresses.binary_search_by_key(&at, |&(at, ..)| at).ok()?;
        self.addresses
            .get(found)
            .map(|&(_, service, probe)| (service, probe))
    }
}

fn units(ports: &PortsData) -> Result<Vec<Unit>, String> {
    if ports.models.len() > 8 {
        return Err("gx-ports.toml: more than 8 models".to_owned());
    }
    let models: BTreeMap<&str, u8> = ports
        .models
        .keys()
        .enumerate()
        .map(|(bit, name)| (name.as_str(), 1 << bit))
        .collect();
    // A unit that the map does not name is the device instance of the same number.
    let mut units: Vec<Unit> = (0..UNITS)
        .map(|unit| Unit {
            instance: u16::try_from(unit).unwrap_or(u16::MAX),
            ..Unit::default()
        })
        .collect();
    for (key, data) in &ports.units {
        let unit: u8 = key
            .parse()
            .map_err(|_| format!("gx-ports.toml: {key:?} is not a unit"))?;
        let kind = ports
            .kinds
            .get(&data.kind)
            .ok_or_else(|| format!("gx-ports.toml: unit {key}: no kind {:?}", data.kind))?;
        let mut of = 0;
        for model in &data.models {
            of |= models
                .get(model.as_str())
                .ok_or_else(|| format!("gx-ports.toml: unit {key}: no model {model:?}"))?;
        }
        if let Some(place) = units.get_mut(usize::from(unit)) {
            place.instance = data.instance;
            place.exclusive = kind.exclusive;
            place.spare = data.kind == "spare";
            place.models = of;
        }
    }
    for (name, data) in &ports.models {
        let bit = models.get(name.as_str()).copied().unwrap_or_default();
        if let Some(place) = units.get_mut(usize::from(data.vebus)) {
            place.betrays |= bit;
        }
    }
    let by_instance: BTreeMap<u16, u8> = (1..=u8::MAX)
        .zip(units.iter().skip(1))
        .map(|(unit, place)| (place.instance, unit))
        .collect();
    for place in units.iter_mut().skip(1) {
        let beside = |step| {
            by_instance
                .get(&place.instance.checked_add_signed(step)?)
                .copied()
        };
        (place.before, place.after) = (beside(-1), beside(1));
    }
    Ok(units)
}

fn service(name: String, data: ServiceData, ports: &PortsData) -> Result<Service, String> {
    let wrong = |what: String| format!("gx-services.toml: {name}: {what}");
    if data.probe.is_empty() || data.probe.len() > Service::MOST_PROBES {
        return Err(wrong(format!(
            "needs 1 to {} registers to probe",
            Service::MOST_PROBES
        )));
    }
    let only_gx =
        data.ports.is_empty() && data.units.keys().all(|units| units == "100") && !data.units.is_empty();
    let mut likelihood = vec![0; UNITS];
    for (unit, port) in &ports.units {
        let Some(&figure) = data.ports.get(&port.kind) else {
            continue;
        };
        if let Some(place) = unit.parse().ok().and_then(|unit: usize| likelihood.get_mut(unit)) {
            *place = figure;
        }
    }
    for (range, &figure) in &data.units {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) if 0 < first && first <= last && last < UNITS => {
                if let Some(places) = likelihood.get_mut(first..=last) {
                    places.fill(figure);
                }
            }
            _ => return Err(wrong(format!("{range:?} is neither a unit nor a range of units"))),
        }
    }
    if let Some(kind) = data.ports.keys().find(|kind| !ports.kinds.contains_key(*kind)) {
        return Err(wrong(format!("no kind of port {kind:?}")));
    }
    if let Some(place) = likelihood.get_mut(usize::from(GX)) {
        *place = (*place).max(AT_GX);
    }
    Ok(Service {
        on_port: !data.ports.is_empty(),
        probe: data.probe,
        likelihood,
        only_gx,
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: &str = include_str!("../../../ledgers/victron/gx-facts.csv");

    /// Service and address of each register that holds data.
    fn facts() -> Vec<(&'static str, u16)> {
        let lines = FACTS.lines().filter(|line| !line.starts_with('#'));
        let mut facts: Vec<_> = lines
            .map(|line| line.split(',').collect::<Vec<_>>())
            .filter(|fields| !fields[3].starts_with("reserved"))
            .map(|fields| (fields[0], fields[2].parse().unwrap()))
            .collect();
        facts.sort_unstable();
        facts
    }

    #[test]
    fn every_service_is_probed_at_registers_of_its_own() {
        let table = Table::get().unwrap();
        let facts = facts();
        for service in &table.services {
            let own: Vec<u16> = facts
                .iter()
                .filter(|fact| fact.0 == service.name)
                .map(|fact| fact.1)
                .collect();
            for at in &service.probe {
                assert!(own.contains(at), "{}: {at} is not a register of it", service.name);
            }
            // Whatever single range a firmware lacks, one of these is left unless it lacks everything.
            let (first, last) = (own.first().unwrap(), own.last().unwrap());
            assert!(
                service.probe.contains(first) || service.name == "battery",
                "{}",
                service.name
            );
            assert!(service.probe.contains(last), "{}: {last}", service.name);
        }
        let names: Vec<&str> = table
            .services
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        let mut expected: Vec<&str> = facts.iter().map(|fact| fact.0).collect();
        expected.dedup();
        assert_eq!(names, expected);
    }

    #[test]
    fn the_table_is_as_long_as_measured() {
        let table = Table::get().unwrap();
        let places = table.services.iter().flat_map(|service| &service.likelihood);
        assert_eq!(places.filter(|&&likelihood| likelihood > 0).count(), 773);
        let only_gx = table.services.iter().filter(|service| service.only_gx);
        let only_gx: Vec<&str> = only_gx.map(|service| service.name.as_str()).collect();
        assert_eq!(only_gx, ["hub4", "platform", "settings", "system"]);
    }

    #[test]
    fn devices_are_numbered_in_a_row_behind_the_unit_map() {
        let table = Table::get().unwrap();
        let unit = |unit: usize| table.units[unit];
        assert_eq!((unit(100).before, unit(100).after), (None, Some(1)));
        assert_eq!((unit(1).before, unit(1).after), (Some(100), Some(2)));
        assert_eq!(unit(239).after, Some(238), "ttyUSB0 and ttyUSB1");
        assert_eq!(unit(231).after, Some(234), "ttyUSB7 and ttyUSB8");
        assert_eq!(unit(225).after, None);
    }

    #[test]
    fn data_that_contradict_themselves_are_refused() {
        let table = |services: &str| Table::read(services, PORTS).map(|_| ()).unwrap_err();
        assert!(table("[tank]\nprobe = []").contains("tank: needs 1 to 8 registers"));
        assert!(table("[tank]\nprobe = [1]\nunits = { 20-256 = 1 }").contains("\"20-256\" is neither"));
        assert!(table("[tank]\nprobe = [1]\nunits = { 0 = 1 }").contains("\"0\" is neither"));
        assert!(table("[tank]\nprobe = [1]\nports = { serial = 1 }").contains("no kind of port \"serial\""));
        assert!(table("[tank]\nprobe = [1]\n[pump]\nprobe = [1]").contains("register 1 is given twice"));
        assert!(table("[tank]\nprobe = [1]\nunit = 3").contains("unknown field"));
    }
}
