//! What bytes come from: a port, which has settings and may come back under another name, or a gateway.

use std::path::PathBuf;

use tokio::io::AsyncRead;

use crate::endpoint::Setting;
use crate::open::{Connect, ConnectError};
use crate::serial::{self, Serial, stable_path};

/// A way to what a meter says.
pub(super) trait Source: Send + 'static {
    /// What is read from.
    type Stream: AsyncRead + Unpin + Send + 'static;
    /// Whether a gateway may put commands of its own between the bytes.
    const MAY_SPEAK_TELNET: bool;

    /// Opens it once, a line with this setting.
    fn open(
        &mut self,
        setting: Option<Setting>,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;

    /// Whether what was missing is there again. Cheap.
    fn came_back(&mut self) -> bool {
        false
    }
}

/// A serial port.
#[derive(Debug)]
pub(super) struct Port {
    given: PathBuf,
    /// The name by which the adapter that was open is found again, whatever it is called after a replug.
    lasting: Option<PathBuf>,
    last: Option<Serial>,
}

impl Port {
    pub(super) fn new(path: PathBuf) -> Self {
        Port {
            given: path,
            lasting: None,
            last: None,
        }
    }
}

impl Source for Port {
    type Stream = serial::Port;
    const MAY_SPEAK_TELNET: bool = false;

    async fn open(&mut self, setting: Option<Setting>) -> Result<Self::Stream, ConnectError> {
        let path = self.lasting.clone().unwrap_or_else(|| self.given.clone());
        let line = setting.unwrap_or(Setting::USUAL).of(path.clone());
        let serial = self.last.insert(Serial::new(line));
        let port = serial.connect().await?;
        if self.lasting.is_none() {
            self.lasting = stable_path(&path);
        }
        Ok(port)
    }

    fn came_back(&mut self) -> bool {
        self.last.as_mut().is_some_and(Connect::came_back)
    }
}

/// A gateway, or anything else that is connected to.
#[derive(Debug)]
pub(super) struct Gateway<C>(C);

impl<C: Connect> Gateway<C> {
    pub(super) fn new(connect: C) -> Self {
        Gateway(connect)
    }
}

impl<C: Connect> Source for Gateway<C> {
    type Stream = C::Stream;
    const MAY_SPEAK_TELNET: bool = true;

    async fn open(&mut self, _: Option<Setting>) -> Result<Self::Stream, ConnectError> {
        self.0.connect().await
    }

    fn came_back(&mut self) -> bool {
        self.0.came_back()
    }
}
