//! Where plugins lie, and which one of a name counts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::inspect::{Image, look, take, take_file};
use crate::place::Place;
use crate::{Inspected, LoaderError};

/// Where a distribution's packages put plugins.
pub const SYSTEM_DIR: &str = "/usr/lib/busbar/plugins";
/// How many libraries are looked at in one directory.
const MAX_LIBRARIES: usize = 256;

/// A directory to search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginDir {
    /// Where.
    pub path: PathBuf,
    /// Whether it is a place where Busbar itself is installed: only there lie the plugins that ship with it. It may be
    /// missing. One that the owner named may not.
    pub ours: bool,
}

/// The directories to search, in their order: those given on the command line, the configured one, those beside the
/// program, the system's.
pub fn plugin_dirs(given: &[PathBuf], configured: Option<&Path>) -> Vec<PluginDir> {
    let named = given.iter().map(PathBuf::as_path).chain(configured);
    let mut dirs: Vec<_> = named
        .map(|path| PluginDir {
            path: path.to_path_buf(),
            ours: false,
        })
        .collect();
    let mut ours = |path| dirs.push(PluginDir { path, ours: true });
    let program = std::env::current_exe().ok();
    if let Some(beside) = program.as_deref().and_then(Path::parent) {
        ours(beside.join("plugins"));
        // A development build: target/<profile>/busbar, and tests in target/<profile>/deps.
        if beside.join(".fingerprint").is_dir() {
            ours(beside.join("deps"));
        } else if beside.ends_with("deps") {
            ours(beside.to_path_buf());
        }
    }
    ours(PathBuf::from(SYSTEM_DIR));
    dirs
}

/// A library, or a directory, that a search came upon.
#[derive(Debug)]
pub struct Candidate {
    /// Which.
    pub path: PathBuf,
    /// Whether it lies in a directory of Busbar's own.
    pub ours: bool,
    /// What it is, or why it is refused.
    pub outcome: Result<Inspected, LoaderError>,
    /// The file of the same plugin that comes first in the search, and is used instead.
    pub shadowed_by: Option<PathBuf>,
}

/// Inspects every library in these directories; the first of a name counts. A directory that is searched twice is
/// searched once.
pub fn search(dirs: &[PluginDir]) -> Vec<Candidate> {
    let outcomes = find(dirs, look).into_iter();
    let candidates = outcomes.map(|(path, ours, outcome)| Candidate {
        path,
        ours,
        outcome,
        shadowed_by: None,
    });
    shadow(candidates.collect(), |candidate| candidate)
}

/// As [`search`], and keeps what was inspected ready for loading.
pub(crate) fn search_images(dirs: &[PluginDir]) -> Vec<(Candidate, Option<Image>)> {
    shadow(
        find(dirs, take).into_iter().map(with_image).collect(),
        |(candidate, _)| candidate,
    )
}

/// This one file, whatever it is called.
pub(crate) fn image_of(path: &Path) -> (Candidate, Option<Image>) {
    with_image((path.to_path_buf(), false, take_file(path)))
}

fn with_image(
    (path, ours, outcome): (PathBuf, bool, Result<Image, LoaderError>),
) -> (Candidate, Option<Image>) {
    let (outcome, image) = match outcome {
        Ok(image) => (Ok(image.inspected.clone()), Some(image)),
        Err(error) => (Err(error), None),
    };
    let candidate = Candidate {
        path,
        ours,
        outcome,
        shadowed_by: None,
    };
    (candidate, image)
}

fn shadow<T>(mut found: Vec<T>, candidate: fn(&mut T) -> &mut Candidate) -> Vec<T> {
    let mut first: Vec<(String, PathBuf)> = Vec::new();
    for each in &mut found {
        let each = candidate(each);
        let Ok(inspected) = &each.outcome else { continue };
        match first.iter().find(|(name, _)| *name == inspected.name) {
            Some((_, path)) => each.shadowed_by = Some(path.clone()),
            None => first.push((inspected.name.clone(), each.path.clone())),
        }
    }
    found
}

fn find<T>(
    dirs: &[PluginDir],
    look: fn(&Place, &Path) -> Result<T, LoaderError>,
) -> Vec<(PathBuf, bool, Result<T, LoaderError>)> {
    let mut found = Vec::new();
    let mut seen: Vec<PathBuf> = Vec::new();
    for PluginDir { path: dir, ours } in dirs {
        let real = match dir.canonicalize() {
            Ok(real) => real,
            Err(error) if *ours && error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                found.push((dir.clone(), *ours, Err(LoaderError::Directory(error))));
                continue;
            }
        };
        if seen.contains(&real) {
            continue;
        }
        seen.push(real);
        let place = match Place::check(dir) {
            Ok(place) => place,
            Err(error) => {
                found.push((dir.clone(), *ours, Err(error)));
                continue;
            }
        };
        match libraries(&place) {
            Ok((files, crowded)) => {
                found.extend(files.into_iter().map(|file| {
                    let outcome = look(&place, &file);
                    (file, *ours, outcome)
                }));
                if crowded {
                    found.push((dir.clone(), *ours, Err(LoaderError::Crowded(MAX_LIBRARIES))));
                }
            }
            Err(error) => found.push((dir.clone(), *ours, Err(LoaderError::Directory(error)))),
        }
    }
    found
}

/// The plugin libraries of a directory by name, and whether there are more than are looked at.
fn libraries(place: &Place) -> std::io::Result<(Vec<PathBuf>, bool)> {
    let mut files = Vec::new();
    for name in place.entries()? {
        let name = name?;
        let name = OsStr::from_bytes(&name);
        if is_plugin_name(name) {
            if files.len() == MAX_LIBRARIES {
                return Ok((sorted(files), true));
            }
            files.push(place.path().join(name));
        }
    }
    Ok((sorted(files), false))
}

fn sorted(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.sort();
    files
}

/// Whether a search looks at a file of this name: `libbusbar_plugin_….so`. A build's `deps` also holds libraries of
/// procedural macros, so that only the prefix tells.
pub fn is_plugin_name(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with("libbusbar_plugin_") && name.ends_with(".so"))
}
