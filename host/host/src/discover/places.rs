//! Devices that took another's place: they are found by an id of their own, and have the other's. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// The ids of found devices as they are to be, in their order. `replaced` tells of an id that is found which one it is to
/// have. Of several for one place the first has it, and where the device that was there before is found beside it, that one
/// is a new device.
pub fn in_place<'a>(
    found: impl IntoIterator<Item = &'a str>,
    replaced: &BTreeMap<String, String>,
) -> Vec<String> {
    let found: Vec<&str> = found.into_iter().collect();
    let mut taken = BTreeSet::new();
    let mut ids: Vec<Option<&str>> = Vec::new();
    for id in &found {
        let place = replaced.get(*id).map(String::as_str);
        ids.push(place.filter(|place| taken.insert(*place)));
    }
    let own = |id: &str| match taken.contains(id) {
        true => format!("{id}_2"),
        false => id.to_owned(),
    };
    let all = found.iter().zip(&ids);
    all.map(|(id, place)| place.map_or_else(|| own(id), str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_anothers_place_is_called_as_that_one() {
        let replaced = BTreeMap::from([
            ("new".to_owned(), "old".to_owned()),
            ("newer".to_owned(), "old".to_owned()),
        ]);
        let ids = |found: &[&str]| in_place(found.iter().copied(), &replaced).join(" ");
        assert_eq!(ids(&["a", "new"]), "a old");
        assert_eq!(ids(&["newer"]), "old");
        assert_eq!(ids(&["old"]), "old", "it came back, alone");
        assert_eq!(ids(&["old", "new"]), "old_2 old", "both are there");
        assert_eq!(ids(&["newer", "new"]), "old new", "a place is for one");
    }
}
