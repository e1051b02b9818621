//! Where it is said: `spBv1.0/GROUP/VERB/NODE[/DEVICE]`.

/// What all topics begin with.
const NAMESPACE: &str = "spBv1.0";

/// The topics of one node.
#[derive(Clone, Debug)]
pub struct Topics {
    group: String,
    node: String,
}

/// What a message that came in is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An order to the node.
    Node,
    /// An order to a device, by its id.
    Device(String),
    /// Whether the host application of this name is there.
    State(String),
}

impl Topics {
    /// Those of this node. Both names were checked.
    pub fn new(group: &str, node: &str) -> Self {
        Topics {
            group: group.to_owned(),
            node: node.to_owned(),
        }
    }

    /// A message of the node: `NBIRTH`, `NDEATH`.
    pub fn node(&self, verb: &str) -> String {
        format!("{NAMESPACE}/{}/{verb}/{}", self.group, self.node)
    }

    /// A message of a device: `DBIRTH`, `DDATA`, `DDEATH`.
    pub fn device(&self, verb: &str, device: &str) -> String {
        format!("{}/{device}", self.node(verb))
    }

    /// What is listened to: orders, and whether the primary host is there.
    pub fn filters(&self, primary_host: Option<&str>) -> Vec<String> {
        let mut filters = vec![self.node("NCMD"), self.device("DCMD", "+")];
        filters.extend(primary_host.map(|host| format!("{NAMESPACE}/STATE/{host}")));
        filters
    }

    /// What a message on this topic is about; `None` for what nobody asked for.
    pub fn heard(&self, topic: &str) -> Option<Heard> {
        let rest = topic.strip_prefix(NAMESPACE)?.strip_prefix('/')?;
        if let Some(host) = rest.strip_prefix("STATE/") {
            return Some(Heard::State(host.to_owned()));
        }
        if topic == self.node("NCMD") {
            return Some(Heard::Node);
        }
        let device = topic.strip_prefix(&self.node("DCMD"))?.strip_prefix('/')?;
        (!device.is_empty() && !device.contains('/')).then(|| Heard::Device(device.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_is_for_this_node_or_for_nobody() {
        let topics = Topics::new("g", "n");
        assert_eq!(topics.device("DDATA", "d"), "spBv1.0/g/DDATA/n/d");
        assert_eq!(
            topics.filters(Some("h")),
            ["spBv1.0/g/NCMD/n", "spBv1.0/g/DCMD/n/+", "spBv1.0/STATE/h"]
        );
        assert_eq!(topics.heard("spBv1.0/g/NCMD/n"), Some(Heard::Node));
        assert_eq!(
            topics.heard("spBv1.0/g/DCMD/n/d"),
            Some(Heard::Device("d".to_owned()))
        );
        assert_eq!(
            topics.heard("spBv1.0/STATE/h"),
            Some(Heard::State("h".to_owned()))
        );
        for other in [
            "spBv1.0/g/DCMD/n/",
            "spBv1.0/g/DCMD/n/d/e",
            "spBv1.0/g/DCMD/n",
            "spBv1.0/g/NCMD/m",
            "spBv1.0",
            "x",
        ] {
            assert_eq!(topics.heard(other), None, "{other}");
        }
    }
}
