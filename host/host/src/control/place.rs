//! Where the socket of a data directory lies.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The longest path that a Unix socket can have on Linux, without its closing NUL.
const LONGEST: usize = 107;

/// The socket of a data directory: inside it, or, where that path is too long for a socket, in the user's runtime
/// directory under a hash of it.
pub fn socket(data_dir: &Path) -> PathBuf {
    let dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    let inside = dir.join("control.sock");
    if inside.as_os_str().len() <= LONGEST {
        return inside;
    }
    let hash = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    let name: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute() && p.is_dir())
        .unwrap_or_else(std::env::temp_dir);
    runtime.join(format!("busbar-{name}.sock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_gets_a_short_socket_of_its_own() {
        let long = |c: &str| PathBuf::from("/nowhere").join(c.repeat(120));
        let (a, b) = (socket(&long("a")), socket(&long("b")));
        assert!(a.as_os_str().len() <= LONGEST);
        assert_ne!(a, b);
        assert_eq!(
            socket(Path::new("/nowhere/x")),
            Path::new("/nowhere/x/control.sock")
        );
    }
}
