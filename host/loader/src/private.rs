//! Whether a group is one user's own: many distributions give each user a group of the same number with nobody else in it,
//! and let new directories be writable by it (umask 002).

use std::fs::File;
use std::io::{self, Read};

/// More of a list of users or groups is not read, and then nothing is known.
const MAX_BYTES: u64 = 1 << 20;

/// Whether nobody but this user is in the group, as far as this machine's own lists say.
pub(crate) fn is_private_group(group: u32) -> bool {
    let user = rustix::process::geteuid().as_raw();
    let effective = rustix::process::getegid().as_raw();
    // Most directories are not writable by any group: the lists are read only where it matters.
    if !is_named_after(group, user, effective) {
        return false;
    }
    match (read("/etc/group"), read("/etc/passwd")) {
        (Ok(groups), Ok(users)) => is_alone(user, &groups, &users),
        _ => false,
    }
}

fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("too large"));
    }
    Ok(text)
}

/// Root's group is many things to many systems.
fn is_named_after(group: u32, user: u32, effective: u32) -> bool {
    group == user && group == effective && user != 0
}

/// Whether the group of the user's number is known, has no members besides, and is no other user's first group.
fn is_alone(user: u32, groups: &str, users: &str) -> bool {
    let number = |field: Option<&str>| field.and_then(|field| field.parse::<u32>().ok());
    let mut known = false;
    for line in groups.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if number(fields.get(2).copied()) != Some(user) {
            continue;
        }
        known = true;
        if fields.get(3).is_none_or(|members| !members.trim().is_empty()) {
            return false;
        }
    }
    known
        && users.lines().all(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            number(fields.get(3).copied()) != Some(user) || number(fields.get(2).copied()) == Some(user)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/:/bin/sh\nanna:x:1000:1000::/:/bin/sh\n";

    #[test]
    fn only_a_group_of_the_users_own_number_comes_into_question() {
        assert!(is_named_after(1000, 1000, 1000));
        assert!(!is_named_after(0, 0, 0), "root's is not private");
        assert!(!is_named_after(100, 1000, 100), "a group of many users");
        assert!(!is_named_after(1000, 1000, 100), "not the one that new files get");
        assert!(!is_named_after(1001, 1000, 1001));
    }

    #[test]
    fn nobody_else_is_in_it() {
        let alone = |groups: &str| is_alone(1000, groups, USERS);
        assert!(alone("root:x:0:\nanna:x:1000:\ndialout:x:20:anna,bert\n"));
        assert!(!alone("anna:x:1000:bert\n"), "a member");
        assert!(
            !alone("anna:x:1000:\nfriends:x:1000:bert\n"),
            "the same by another name"
        );
        assert!(!alone("root:x:0:\n"), "nothing is known of it");
        assert!(!alone("anna:x:1000\n"), "half a line");
        assert!(!alone(""));
        let shared = format!("{USERS}bert:x:1001:1000::/:/bin/sh\n");
        assert!(
            !is_alone(1000, "anna:x:1000:\n", &shared),
            "another's first group"
        );
    }
}
