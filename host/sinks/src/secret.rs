//! Passwords and tokens: from the environment or a file of their own, never shown.

use std::fmt;
use std::io::Read;
use std::path::Path;

/// The longest secret, in bytes.
const LONGEST: u64 = 16 << 10;

/// A secret. It cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Makes one.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The secret itself, for whoever sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the environment has under this name, else what the file holds; `None` where there is neither. White space
    /// around it is no part of it.
    ///
    /// # Errors
    /// A file that cannot be read, is too long or empty: which, and what to do.
    pub fn find(variable: &str, file: Option<&Path>) -> Result<Option<Self>, String> {
        if let Ok(text) = std::env::var(variable)
            && !text.trim().is_empty()
        {
            return Ok(Some(Secret(text.trim().to_owned())));
        }
        let Some(path) = file else { return Ok(None) };
        let place = path.display();
        let read = || -> std::io::Result<String> {
            let mut text = String::new();
            std::fs::File::open(path)?
                .take(LONGEST + 1)
                .read_to_string(&mut text)?;
            Ok(text)
        };
        let text =
            read().map_err(|e| format!("cannot read {place}: {e}; check the path and who may read it"))?;
        match text.trim() {
            "" => Err(format!("{place} is empty: write the secret into it, on one line")),
            _ if text.len() as u64 > LONGEST => {
                Err(format!("{place} is no secret: it is longer than 16 KiB"))
            }
            text => Ok(Some(Secret(text.to_owned()))),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A URL for people: without what stands before its `@`.
pub fn hidden(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        (None, Some(at)) => format!("…{}", &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_from_its_file_and_is_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let (good, empty) = (dir.path().join("good"), dir.path().join("empty"));
        std::fs::write(&good, "hunter2\n").unwrap();
        std::fs::write(&empty, " \n").unwrap();
        let find = |path: &Path| Secret::find("BUSBAR_NO_SUCH_VARIABLE", Some(path));
        let secret = find(&good).unwrap().unwrap();
        assert_eq!(secret.reveal(), "hunter2");
        assert_eq!(hidden("http://u:p@h/x"), "http://…@h/x");
        assert_eq!(hidden("http://h/x"), "http://h/x");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(find(&empty).unwrap_err().contains("empty"));
        assert!(
            find(&dir.path().join("none"))
                .unwrap_err()
                .contains("cannot read")
        );
        assert_eq!(Secret::find("BUSBAR_NO_SUCH_VARIABLE", None), Ok(None));
    }
}
