//! The way of a write from the bytes of an interface to the words of a frame, without a device: for tests that send
//! anything at all. Everything on it is what the host itself runs; what is left out is what asks a device or the disk.

use std::sync::Arc;

use busbar_guard::{Context, Order, Owner, Refusal, Site, check, effective};
use busbar_ledger::model::{Ledger, Point};
use busbar_ledger::presence::Status;
use busbar_ledger::ranges::Ranges;
use busbar_ledger::value::Value;

use super::path::Wanted;
use super::policy::{Kept, Policy};
use super::target::{Target, find};
use crate::bus::{Device, DeviceMeta};
use crate::config;
use crate::control::{self, SetCall, WriteCall};

/// The connection of every rehearsed device.
pub const CONNECTION: &str = "home";
/// Their unit.
pub const UNIT: u8 = 100;

/// Devices that have every point of their ledgers.
#[derive(Debug)]
pub struct House(Vec<Arc<Device>>);

/// A body, and the way by which it comes in.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// `POST /api/v1/entities/{id}/write`
    Entity {
        /// The id in the path.
        id: &'a str,
        /// The body.
        body: &'a [u8],
    },
    /// `POST /control/set`
    Set {
        /// The body.
        body: &'a [u8],
    },
}

/// What a device would say when it is asked before a write.
#[derive(Clone, Debug, Default)]
pub struct Says {
    /// The present value.
    pub old: Option<Value>,
    /// Its own lowest value.
    pub min: Option<f64>,
    /// And its highest.
    pub max: Option<f64>,
}

/// What an interface has understood: an entity's name and a value for it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The name, as it was given.
    pub entity: String,
    value: Wanted,
}

/// What a configuration allows.
#[derive(Clone, Debug)]
pub struct Leave {
    policy: Policy,
    owners: Vec<Owner>,
}

/// What would be sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The ledger of the device.
    pub ledger: Arc<Ledger>,
    /// The point's place in it.
    pub index: usize,
    /// What the owner said of it.
    pub owner: Owner,
    /// Frame and words.
    pub order: Order,
}

impl Call<'_> {
    /// Reads the body as the interface does.
    ///
    /// # Errors
    /// The answer to a body that is no such call.
    pub fn read(&self) -> Result<Asked, String> {
        let (entity, call) = match self {
            Call::Entity { id, body } => (
                (*id).to_owned(),
                serde_json::from_slice::<WriteCall>(body).map_err(|e| e.to_string())?,
            ),
            Call::Set { body } => {
                let call: SetCall = serde_json::from_slice(body).map_err(|e| e.to_string())?;
                (call.entity, call.write)
            }
        };
        let value = control::wanted(&call.value).map_err(|error| error.message)?;
        Ok(Asked { entity, value })
    }
}

impl Asked {
    /// What the value means for a point.
    ///
    /// # Errors
    /// A text that means nothing there.
    pub fn value(&self, point: &Point) -> Result<Value, Refusal> {
        self.value.understood(point)
    }
}

impl Leave {
    /// Reads `busbar.toml`.
    ///
    /// # Errors
    /// What a start of the host would say.
    pub fn read(text: &str) -> Result<Self, String> {
        let config = config::parse(config::DEFAULT_FILE, text)
            .map_err(|e| e.to_string())?
            .config;
        let entries = config.connections.iter().filter_map(|c| c.writes.as_ref());
        let entries = entries.flat_map(|writes| &writes.allow);
        Ok(Leave {
            owners: entries.map(|allow| allow.entry().owner()).collect(),
            policy: Policy::of(&config, &Kept::default()),
        })
    }

    /// The limits of the site.
    pub fn site(&self) -> &Site {
        &self.policy.site
    }

    /// The owner's limits in each entry of `allow`, in their order.
    pub fn owners(&self) -> &[Owner] {
        &self.owners
    }
}

impl House {
    /// One device for each ledger.
    pub fn of<'a>(ledgers: impl IntoIterator<Item = &'a Arc<Ledger>>) -> Self {
        let device = |(n, ledger): (usize, &Arc<Ledger>)| {
            let meta = DeviceMeta {
                id: format!("d{n}"),
                connection: CONNECTION.to_owned(),
                connection_id: CONNECTION.to_owned(),
                unit: UNIT,
                name: ledger.title.clone(),
                model: None,
                serial: None,
                firmware: None,
                ledger: Arc::clone(ledger),
                missing: false,
                unreadable: None,
            };
            Arc::new(Device::new(meta, Ranges::default(), |_| Some(Status::Present)))
        };
        House(ledgers.into_iter().enumerate().map(device).collect())
    }

    /// Every point that a rule lets one write: the ledger, and the point's place in it.
    pub fn writable(&self) -> impl Iterator<Item = (&Arc<Ledger>, usize)> {
        self.0.iter().flat_map(|device| {
            let ledger = &device.meta.ledger;
            let points = ledger.points.iter().enumerate();
            points
                .filter(|(_, point)| point.write.is_some())
                .map(move |(index, _)| (ledger, index))
        })
    }

    /// The whole way of one call at the moment `now_ms`.
    ///
    /// # Errors
    /// Where it ends, in words of an owner.
    pub fn send(&self, call: Call<'_>, leave: &Leave, says: &Says, now_ms: i64) -> Result<Sent, String> {
        let asked = call.read()?;
        let target: Target = find(&self.0, &asked.entity).map_err(|e| e.to_string())?;
        let told = |refusal: Refusal| format!("{refusal} {}", refusal.hint);
        let allowed = leave.policy.allowed(&target, now_ms).map_err(told)?;
        let value = asked.value(target.point()).map_err(told)?;
        let owner = allowed.entry.owner();
        let order = order(
            &target.device.meta.ledger,
            target.index,
            leave.site(),
            &owner,
            says,
            &value,
        )
        .map_err(told)?;
        Ok(Sent {
            ledger: Arc::clone(&target.device.meta.ledger),
            index: target.index,
            owner,
            order,
        })
    }
}

/// What the guard makes of a value for one point.
///
/// # Errors
/// What is in the way.
pub fn order(
    ledger: &Ledger,
    index: usize,
    site: &Site,
    owner: &Owner,
    says: &Says,
    value: &Value,
) -> Result<Order, Refusal> {
    let point = &ledger.points[index];
    let alias_of = point.write.as_ref().and_then(|rule| rule.alias_of.as_deref());
    let context = Context {
        site: site.clone(),
        owner: owner.clone(),
        device_min: says.min,
        device_max: says.max,
        alias_of: alias_of.and_then(|key| ledger.point(key)),
    };
    let limits = effective(point, &context)?;
    check(point, &limits, value, says.old.as_ref()).map(|checked| checked.order().clone())
}
