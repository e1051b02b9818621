//! A PostgreSQL server with a directory and a port of its own. It refuses to run as root: then it runs as `postgres`.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// The server; it ends with this.
pub struct Server {
    dir: TempDir,
    bin: PathBuf,
    port: u16,
}

impl Server {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server {
            bin: programs(),
            // Free a moment ago; whoever takes it in between makes the start fail, not the test pass.
            port: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .unwrap()
                .local_addr()
                .unwrap()
                .port(),
            dir,
        };
        std::fs::write(server.path("password"), "hunter2").unwrap();
        if is_root() {
            done(
                Command::new("chown")
                    .args(["-R", "postgres"])
                    .arg(server.dir.path()),
            );
        }
        let password = format!("--pwfile={}", server.path("password").display());
        done(
            server
                .command("initdb")
                .args(["--auth=scram-sha-256", "--username=busbar", "--no-sync", "-D"])
                .arg(server.path("data"))
                .arg(password),
        );
        server.run();
        server
    }

    pub fn url(&self) -> String {
        format!("postgres://busbar@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it, and waits until it answers.
    pub fn run(&self) {
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories={} -c fsync=off -c max_connections=10",
            self.port,
            self.dir.path().display()
        );
        done(
            self.command("pg_ctl")
                .args(["start", "--wait", "--silent", "-o", &options, "-D"])
                .arg(self.path("data"))
                .arg("-l")
                .arg(self.path("log")),
        );
    }

    /// Ends it at once.
    pub fn stop(&mut self) {
        done(
            self.command("pg_ctl")
                .args(["stop", "--wait", "--silent", "-m", "fast", "-D"])
                .arg(self.path("data")),
        );
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.dir.path()).env("LC_ALL", "C");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        let _ = stop
            .args(["stop", "--silent", "-m", "immediate", "-D"])
            .arg(self.path("data"))
            .output();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where the newest version's programs lie; distributions keep them off the path.
fn programs() -> PathBuf {
    let of_debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<PathBuf> = of_debian
        .filter_map(|e| Some(e.ok()?.path().join("bin")))
        .collect();
    versions.retain(|bin| bin.join("initdb").exists());
    versions.sort();
    versions.pop().unwrap_or_else(|| Path::new("/usr/bin").to_owned())
}

fn done(command: &mut Command) -> Output {
    let output = command.stdin(std::process::Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command:?}: {e} (apt install postgresql)"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}
