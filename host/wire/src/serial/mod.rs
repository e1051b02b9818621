//! Serial ports: opened for one program alone, set as the URL says, and told about in words.

mod ports;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::termios::ioctl_tiocexcl;
use serial2_tokio::rs4xx::Rs485Config;
use serial2_tokio::{CharSize, FlowControl, SerialPort, Settings, StopBits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::ports::ports;
pub use self::ports::stable_path;
use crate::endpoint::{Parity, SerialLine};
use crate::open::{Connect, ConnectError};

/// Where the system keeps pseudo terminals, which have no parity bit.
const PSEUDO: &str = "/dev/pts";

/// Why a serial port cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortError {
    /// There is no such file.
    Missing {
        /// The ports that there are.
        ports: Vec<PathBuf>,
    },
    /// The file is something else.
    NoPort,
    /// This user may not use it.
    Denied {
        /// The group whose members may.
        group: Option<String>,
    },
    /// Another program has it.
    Busy {
        /// Which, where that can be known.
        holder: Option<String>,
    },
    /// The system refused for another reason.
    Failed(String),
}

impl PortError {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            PortError::Missing { .. } => "no_such_port",
            PortError::NoPort => "not_a_port",
            PortError::Denied { .. } => "permission_denied",
            PortError::Busy { .. } => "port_busy",
            PortError::Failed(_) => "port_failed",
        }
    }

    /// The next step for a person.
    pub fn hint(&self) -> String {
        match self {
            PortError::Missing { ports } if ports.is_empty() => {
                "no serial port is there at all: is the adapter plugged in, and (in a container or a virtual machine) \
                 handed through?"
                    .to_owned()
            }
            PortError::Missing { ports } => {
                let names: Vec<String> = ports.iter().map(|port| port.display().to_string()).collect();
                format!("there are: {}", names.join(", "))
            }
            PortError::NoPort => {
                "give the path of a serial port, such as one under /dev/serial/by-id".to_owned()
            }
            PortError::Denied { group: Some(group) } => {
                format!("members of the group {group} may use it: sudo usermod -aG {group} $USER, then log in again")
            }
            PortError::Denied { group: None } => "make it readable and writable for this user".to_owned(),
            PortError::Busy { .. } => {
                "a serial line has one master: end the other program, or let a gateway share the line".to_owned()
            }
            PortError::Failed(_) => "see what the system says of the adapter: dmesg | tail".to_owned(),
        }
    }

    fn from_open(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => PortError::Missing { ports: ports() },
            io::ErrorKind::PermissionDenied => PortError::Denied {
                group: ports::group(path),
            },
            io::ErrorKind::ResourceBusy => PortError::Busy {
                holder: ports::holder(path),
            },
            _ if [Errno::NXIO, Errno::NODEV]
                .map(Errno::raw_os_error)
                .map(Some)
                .contains(&error.raw_os_error()) =>
            {
                PortError::Missing { ports: ports() }
            }
            _ => PortError::Failed(error.to_string()),
        }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortError::Missing { .. } => f.write_str("there is no such port"),
            PortError::NoPort => f.write_str("this is not a serial port"),
            PortError::Denied { .. } => f.write_str("this user may not use the port"),
            PortError::Busy { holder: Some(holder) } => write!(f, "the port is in use by {holder}"),
            PortError::Busy { holder: None } => f.write_str("the port is in use by another program"),
            PortError::Failed(reason) => f.write_str(reason),
        }
    }
}

/// A way to one serial port.
#[derive(Debug)]
pub(crate) struct Serial {
    line: SerialLine,
    /// Whether the port was missing when it was last looked for.
    missing: bool,
}

impl Serial {
    pub(crate) fn new(line: SerialLine) -> Self {
        Serial { line, missing: false }
    }
}

impl Connect for Serial {
    type Stream = Port;

    async fn connect(&mut self) -> Result<Port, ConnectError> {
        let line = self.line.clone();
        // Opening may wait: for a driver, or for what the last program left to be sent.
        let opened = tokio::task::spawn_blocking(move || Port::open(&line)).await;
        let result = opened.unwrap_or_else(|failed| Err(PortError::Failed(failed.to_string())));
        self.missing = matches!(result, Err(PortError::Missing { .. }));
        result.map_err(ConnectError::Port)
    }

    fn came_back(&mut self) -> bool {
        self.missing && self.line.path.exists()
    }
}

/// An open port that nobody else uses.
#[derive(Debug)]
pub(crate) struct Port {
    port: SerialPort,
    /// Holds the lock.
    _lock: File,
}

impl Port {
    /// Opens a port, locked before its settings are touched: they may be another program's.
    fn open(line: &SerialLine) -> Result<Self, PortError> {
        let failed = |error: io::Error| PortError::from_open(&line.path, &error);
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let is_device = |path: &Path| fs::metadata(path).map(|file| file.file_type().is_char_device());
        if !is_device(&line.path).map_err(failed)? {
            return Err(PortError::NoPort);
        }
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags.bits() as i32)
            .open(&line.path)
            .map_err(failed)?;
        if let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            drop(lock);
            return Err(if error == Errno::WOULDBLOCK {
                PortError::Busy {
                    holder: ports::holder(&line.path),
                }
            } else {
                failed(error.into())
            });
        }
        let port = SerialPort::open(&line.path, |settings| set(line, settings)).map_err(|error| {
            if error.raw_os_error() == Some(Errno::NOTTY.raw_os_error()) {
                PortError::NoPort
            } else {
                failed(error)
            }
        })?;
        if !is_pseudo(&line.path) {
            // From here on nobody else can open it, but the administrator, whom only the lock stops. It ends with the
            // last user of a port; with a pseudo terminal that would be its other end.
            ioctl_tiocexcl(&lock).map_err(|error| failed(error.into()))?;
        }
        if line.rs485 {
            let mode = Rs485Config::new();
            port.set_rs4xx_mode(mode).map_err(|error| {
                PortError::Failed(format!(
                    "the port has no RS485 driver that could be switched ({error}): leave out rs485=yes"
                ))
            })?;
        }
        port.discard_input_buffer().map_err(failed)?;
        Ok(Port { port, _lock: lock })
    }
}

fn is_pseudo(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|path| path.starts_with(PSEUDO))
}

/// The settings of a line: bytes as they are, no flow control.
fn set(line: &SerialLine, mut settings: Settings) -> io::Result<Settings> {
    settings.set_raw();
    settings.set_baud_rate(line.baud)?;
    settings.set_char_size(match line.data_bits {
        7 if !is_pseudo(&line.path) => CharSize::Bits7,
        _ => CharSize::Bits8,
    });
    settings.set_flow_control(FlowControl::None);
    settings.set_stop_bits(match line.stop_bits {
        2 => StopBits::Two,
        _ => StopBits::One,
    });
    settings.set_parity(match line.parity {
        _ if is_pseudo(&line.path) => serial2_tokio::Parity::None,
        Parity::None => serial2_tokio::Parity::None,
        Parity::Even => serial2_tokio::Parity::Even,
        Parity::Odd => serial2_tokio::Parity::Odd,
    });
    Ok(settings)
}

/// What an unplugged adapter makes of each call.
fn gone(error: io::Error) -> io::Error {
    let errors = [Errno::IO, Errno::NODEV, Errno::NXIO];
    if errors
        .iter()
        .any(|gone| error.raw_os_error() == Some(gone.raw_os_error()))
    {
        io::Error::new(io::ErrorKind::BrokenPipe, "the port is gone (unplugged?)")
    } else {
        error
    }
}

impl AsyncRead for Port {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        Pin::new(&mut self.port).poll_read(cx, buf).map(|result| {
            result.map_err(gone)?;
            if buf.filled().len() == before {
                return Err(gone(Errno::IO.into()));
            }
            Ok(())
        })
    }
}

impl AsyncWrite for Port {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.port).poll_write(cx, buf).map_err(gone)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
