//! A world for the flow: it does the work that is asked for, by telling what would come of it.

use busbar_ledger::presence::Status;
use busbar_ledger::value::{Quality, Value};

use super::super::super::findings::{Changes, Findings};
use super::super::super::work::{
    ConnectionBrief, DeviceBrief, EntityBrief, Failure, Forecast, Ground, Kept, LedgerBrief, Live, Sight,
};
use super::super::{Answer, Event, Flow, Step, Wish, Work};
use crate::discover::report::{Coverage, DeviceReport, EntityReport, ScanReport};
use crate::find::{Confidence, Found, Via};
use crate::registry::change::Change;

pub const URL: &str = "modbus+tcp://192.168.1.20:502";

/// What is set up, what is there, and what was asked for.
pub struct World {
    pub ground: Ground,
    pub sight: Sight,
    pub findings: Findings,
    /// What was asked for, in order.
    pub asked: Vec<Work>,
    /// The next work of any kind fails so.
    pub fails: Option<Failure>,
    /// What changes take with them.
    pub consequences: Vec<String>,
    pub limits: Option<crate::write::limits::Limits>,
}

impl World {
    /// Nothing is set up, and one GX with two devices is there.
    pub fn empty() -> Self {
        let ledger = |name: &str, title: &str, recognises| LedgerBrief {
            name: name.to_owned(),
            title: title.to_owned(),
            recognises,
            schemes: vec!["modbus+tcp".to_owned()],
        };
        World {
            ground: Ground {
                networks: vec![("192.168.1.0/24".into(), "eth0".into(), 254)],
                search: (12, "TCP port 502".into()),
                ports: vec!["/dev/ttyUSB0".into()],
                ports_seconds: 8,
                data_dir: "busbar-data".into(),
                ledgers: vec![
                    ledger("abb/b23", "ABB B23", true),
                    ledger("eastron/sdm630", "Eastron SDM630", false),
                    ledger("janitza/umg", "Janitza UMG", false),
                ],
                ..Ground::default()
            },
            sight: Sight {
                url: URL.into(),
                answered: true,
                recognised: vec!["Victron GX, serial c0ffee".into()],
                quick: Some(Forecast {
                    requests: 597,
                    exceptions: 581,
                }),
                ids: vec!["c0ffee_system".into()],
                ..Sight::default()
            },
            findings: findings(),
            asked: Vec::new(),
            fails: None,
            consequences: vec!["\"Grid\" with its 2 entities.".into()],
            limits: None,
        }
    }

    /// A GX is set up, and it is there as it was.
    pub fn set_up() -> Self {
        let mut world = World::empty();
        world.ground.connections = vec![connection()];
        world.sight.known_as = Some("home".into());
        world.findings.connection = Some("home".into());
        world.findings.changes = Some(Changes::default());
        world
    }

    /// Does what the flow wants, until it asks.
    pub fn settle(&mut self, flow: &mut Flow) {
        for _ in 0..20 {
            let Some(work) = flow.work().cloned() else { return };
            self.asked.push(work.clone());
            let event = match self.fails.take() {
                Some(failure) => Event::Failed(failure),
                None => self.done(work),
            };
            flow.event(event);
        }
        panic!("the flow wants work without end: {:?}", flow.work());
    }

    fn done(&mut self, work: Work) -> Event {
        match work {
            Work::Load => Event::Loaded(Box::new(self.ground.clone())),
            Work::Find { .. } => Event::Found {
                found: vec![found(URL, self.sight.known_as.is_some())],
                notes: Vec::new(),
            },
            Work::Look { urls } => {
                let mut sight = self.sight.clone();
                sight.url.clone_from(&urls[0]);
                Event::Looked(Box::new(sight))
            }
            Work::Scan(order) => {
                let mut findings = self.findings.clone();
                findings.url = order.url;
                Event::Scanned(Box::new(findings))
            }
            Work::Save(keep) => {
                let mut connection = connection();
                connection.name = keep.name.unwrap_or(connection.name);
                let name = connection.name.clone();
                self.ground.connections.retain(|known| known.name != name);
                self.ground.connections.push(connection);
                Event::Saved(Box::new(Kept {
                    connection: name,
                    lines: Vec::new(),
                    ground: Some(Box::new(self.ground.clone())),
                }))
            }
            Work::Drop => Event::Dropped,
            Work::Change { changes } => {
                changes.iter().for_each(|change| self.make(change));
                Event::Changed(Box::new(self.ground.clone()))
            }
            Work::Consequences { .. } => Event::Consequences {
                lines: self.consequences.clone(),
            },
            Work::Limits => match self.limits.clone() {
                Some(limits) => Event::Limits(Box::new(limits)),
                None => Event::Failed(failure("no_limits")),
            },
            Work::Live { .. } => Event::Live {
                devices: vec![Live {
                    name: "Grid".into(),
                    state: "online".into(),
                    values: vec![("Power".into(), "812 W".into())],
                }],
            },
        }
    }

    /// Changes what is set up, as far as it shows.
    fn make(&mut self, change: &Change) {
        match change {
            Change::RemoveConnection { connection } => {
                self.ground.connections.retain(|known| known.name != *connection);
            }
            Change::RemoveDevice { device } => {
                for connection in &mut self.ground.connections {
                    connection.devices.retain(|known| known.id != *device);
                }
            }
            Change::Site { site } => self.ground.site = site.clone(),
            Change::Writes { connection, writes } => {
                let known = self
                    .ground
                    .connections
                    .iter_mut()
                    .find(|known| known.name == *connection);
                known.expect("it is set up").writes = writes.clone();
            }
            _ => {}
        }
    }

    /// The last save that was asked for.
    pub fn saved(&self) -> &super::super::super::work::Keep {
        let saves = self.asked.iter().rev().find_map(|work| match work {
            Work::Save(keep) => Some(keep),
            _ => None,
        });
        saves.expect("something was saved")
    }

    /// Everything that was changed.
    pub fn changes(&self) -> Vec<Change> {
        let changes = self.asked.iter().filter_map(|work| match work {
            Work::Change { changes } => Some(changes.clone()),
            _ => None,
        });
        changes.flatten().collect()
    }
}

/// A flow that has begun in this world.
pub fn begun(world: &mut World, wish: Wish) -> Flow {
    let mut flow = Flow::new(wish);
    world.settle(&mut flow);
    flow
}

/// Answers one after the other, each with the work that follows.
pub fn answer(world: &mut World, flow: &mut Flow, answers: &[Answer]) {
    for answer in answers {
        flow.answer(answer.clone());
        world.settle(flow);
    }
}

/// Enter, until this step.
pub fn enter_until(world: &mut World, flow: &mut Flow, step: &Step) {
    for _ in 0..30 {
        if flow.step() == step {
            return;
        }
        answer(world, flow, &[Answer::Default]);
    }
    panic!("Enter never leads to {step:?}, but to {:?}", flow.step());
}

pub fn choose(key: &str) -> Answer {
    Answer::Choose(key.to_owned())
}

pub fn text(text: &str) -> Answer {
    Answer::Text(text.to_owned())
}

pub fn failure(code: &str) -> Failure {
    Failure {
        message: "it did not work".into(),
        hint: "Try again.".into(),
        code: code.into(),
        exit: 1,
    }
}

fn found(url: &str, known: bool) -> Found {
    Found {
        url: url.into(),
        unit_id: Some(100),
        ledger: Some("victron/gx-system".into()),
        plugin: Some("victron-gx".into()),
        title: Some("Victron GX".into()),
        name: Some("cerbo".into()),
        model: None,
        serial: Some("c0ffee".into()),
        firmware: None,
        confidence: Confidence::Certain,
        via: Via::Mdns,
        known,
        connection: known.then(|| "home".into()),
        moved_from: None,
        adopted: false,
        note: None,
        ids: Vec::new(),
    }
}

fn entity(device: &str, key: &str, value: f64, status: Status) -> EntityReport {
    EntityReport {
        id: format!("{device}.{key}"),
        key: key.into(),
        name: key.replace('_', " "),
        at: Some(820),
        bit: None,
        function: None,
        value: (status != Status::Absent).then_some(Value::Number(value)),
        label: None,
        unit: Some("W".into()),
        quality: Quality::Good,
        status,
        writable: false,
        proof: String::new(),
    }
}

fn device(id: &str, name: &str) -> DeviceReport {
    DeviceReport {
        id: id.into(),
        ledger: "victron/gx-grid".into(),
        unit_id: 30,
        name: name.into(),
        model: None,
        serial: Some("c0ffee".into()),
        firmware: None,
        entities: vec![
            entity(id, "power_l1", 812.0, Status::Present),
            entity(id, "power_l3", 0.0, Status::Unproven),
            entity(id, "power_l9", 0.0, Status::Absent),
        ],
        added_up: Vec::new(),
    }
}

fn findings() -> Findings {
    Findings {
        report: ScanReport {
            connection: URL.into(),
            plugin: Some("victron-gx".into()),
            mode: "quick".into(),
            devices: vec![
                device("c0ffee_system", "System"),
                device("c0ffee_grid_u30", "Grid"),
            ],
            probes: 600,
            exceptions: 583,
            requests: 630,
            coverage: Coverage {
                probed: 600,
                possible: 774,
            },
            elapsed_ms: 1200,
            ..ScanReport::default()
        },
        url: URL.into(),
        connection: None,
        proposed: "gx".into(),
        moved_from: None,
        changes: None,
        silent: vec![3, 7],
        reads: 25,
        cancelled: false,
    }
}

fn connection() -> ConnectionBrief {
    let device = |id: &str, name: &str| DeviceBrief {
        id: id.into(),
        name: name.into(),
        unit_id: 30,
        ledger: "victron/gx-grid".into(),
        model: None,
        serial: Some("c0ffee".into()),
        missing: false,
        state: String::new(),
        entities: ["power_l1", "power_l3"]
            .map(|key| EntityBrief {
                key: key.into(),
                name: key.replace('_', " "),
                hint: "W".into(),
                proven: key == "power_l1",
                put_away: false,
            })
            .to_vec(),
    };
    ConnectionBrief {
        id: "c1234567".into(),
        name: "home".into(),
        url: URL.into(),
        interval_ms: None,
        by_file: false,
        writes: crate::config::WritesConfig::default(),
        writes_by_file: false,
        devices: vec![
            device("c0ffee_system", "System"),
            device("c0ffee_grid_u30", "Grid"),
        ],
    }
}
