//! Whether what documents say of the repository is so.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::repository::{File, files, none_of, root, rust, workspace};

/// The Markdown files.
fn documents() -> impl Iterator<Item = &'static File> {
    files().iter().filter(|file| file.path.ends_with(".md"))
}

/// The text without code blocks and comments: what a reader sees as prose.
fn prose(text: &str) -> String {
    let mut seen = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("<!--") {
        seen.push_str(&rest[..start]);
        rest = rest[start..].split_once("-->").map_or("", |(_, after)| after);
    }
    seen.push_str(rest);
    let mut fenced = false;
    seen.lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// What `[…](target)` and `[…]: target` point at.
fn links(text: &str) -> Vec<&str> {
    let inline = text.match_indices("](").filter_map(|(at, _)| {
        let target = &text[at + 2..];
        Some(
            target[..target.find([')', '\n'])?]
                .split(' ')
                .next()
                .unwrap_or_default(),
        )
    });
    let defined = text
        .lines()
        .filter(|line| line.starts_with('['))
        .filter_map(|line| line.split_once("]: "));
    inline.chain(defined.map(|(_, target)| target.trim())).collect()
}

/// The names under which the headings of a document can be linked, as forges make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text);
    let headings = headings.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            kept.chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// A path without `.` and `..`; `None` when it leaves the repository.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir if plain.pop() => {}
            _ => return None,
        }
    }
    Some(plain)
}

#[test]
fn links_are_found_where_a_reader_sees_them() {
    let text = "[a](b.md#c) ![p](p.png \"title\")\n```\n[x](y)\n```\n<!-- ![q](q.png) -->\n[d]: e.md\n## One, `two`\n";
    assert_eq!(links(&prose(text)), ["b.md#c", "p.png", "e.md"]);
    assert!(anchors(text).contains("one-two"));
    assert_eq!(plain(Path::new("a/../b/./c")), Some("b/c".into()));
    assert_eq!(plain(Path::new("a/../../b")), None);
}

#[test]
fn every_link_into_the_repository_leads_somewhere() {
    let mut findings = Vec::new();
    for document in documents() {
        let mut fault = |link: &str, why: &str| findings.push(format!("{}: {link} {why}", document.path));
        let seen = prose(&document.text);
        for link in links(&seen) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(&document.path).parent().unwrap_or(Path::new(""));
            let target = if path.is_empty() {
                Some(PathBuf::from(&document.path))
            } else {
                plain(&folder.join(path))
            };
            let Some(target) = target else {
                fault(link, "leaves the repository");
                continue;
            };
            // Tracked, not only there: a clone has nothing else.
            let tracked = files().iter().find(|file| Path::new(&file.path) == target);
            let is_folder = files()
                .iter()
                .any(|file| Path::new(&file.path).starts_with(&target));
            if tracked.is_none() && !is_folder {
                let why = if root().join(&target).exists() {
                    "is not tracked"
                } else {
                    "does not exist"
                };
                fault(link, why);
            } else if !anchor.is_empty() && !tracked.is_some_and(|file| anchors(&file.text).contains(anchor))
            {
                fault(link, "names no heading of that document");
            }
        }
    }
    none_of(&findings, "Links of the documents:");
}

#[test]
fn the_map_of_the_house_is_right() {
    let Some(map) = files().iter().find(|file| file.path == "ARCHITECTURE.md") else {
        panic!("ARCHITECTURE.md is missing: it has an invariant for each crate and the test that holds it");
    };
    let mut findings = Vec::new();
    for package in workspace().workspace_packages() {
        if !map.text.contains(&format!("`{}`", package.name)) {
            findings.push(format!("it has nothing about `{}`", package.name));
        }
    }
    // "Held by `a_test`." at the end of a paragraph names functions.
    for tests in map
        .text
        .split("\n\n")
        .filter_map(|p| p.split_once("Held by"))
        .map(|(_, tests)| tests)
    {
        for test in tests.split('`').skip(1).step_by(2) {
            if !rust().any(|file| file.text.contains(&format!("fn {test}("))) {
                findings.push(format!("there is no test `{test}`"));
            }
        }
    }
    none_of(&findings, "ARCHITECTURE.md and the workspace differ:");
}
