//! A tokio-modbus client over a link, for tests and tools that speak that trait.

use std::future::Future;
use std::io;
use std::pin::Pin;

use busbar_ledger::span::{Function, Span};
use tokio_modbus::client::Client;
use tokio_modbus::prelude::{Request, Response};
use tokio_modbus::slave::{Slave, SlaveContext};
use tokio_modbus::{Error, ExceptionCode};

use crate::error::WireError;
use crate::identity::Asked;
use crate::link::{Link, ReadPlan};
use crate::queue::Priority;
use crate::serial::PortError;

/// A thin adapter: it reads with functions 1 to 4 and 17 and refuses every other before anything is sent. Function 43/14
/// is asked by [`Link::identify`]: the trait's answer to it cannot be made outside of tokio-modbus.
#[derive(Clone, Debug)]
pub struct EngineClient {
    link: Option<Link>,
    unit: u8,
    priority: Priority,
}

impl EngineClient {
    /// A client of a link, for the unit that means "the device itself" (255) until `set_slave` chooses another.
    pub fn new(link: Link, priority: Priority) -> Self {
        EngineClient {
            link: Some(link),
            unit: Slave::tcp_device().into(),
            priority,
        }
    }

    async fn read(&self, function: Function, at: u16, count: u16) -> tokio_modbus::Result<Vec<u16>> {
        let span = Span { function, at, count };
        let Some(link) = &self.link else {
            return Err(Error::Transport(io::ErrorKind::NotConnected.into()));
        };
        let plan = ReadPlan {
            unit: self.unit,
            span,
            priority: self.priority,
        };
        told(link.read(plan).await)
    }

    /// Asks for bytes; `of` makes the response of them.
    async fn ask(
        &self,
        asked: Asked,
        of: impl FnOnce(&[u8]) -> Option<Response>,
    ) -> tokio_modbus::Result<Response> {
        let Some(link) = &self.link else {
            return Err(Error::Transport(io::ErrorKind::NotConnected.into()));
        };
        match told(link.ask(self.unit, asked, self.priority).await)? {
            Ok(data) => of(&data)
                .map(Ok)
                .ok_or(Error::Transport(io::ErrorKind::InvalidData.into())),
            Err(code) => Ok(Err(code)),
        }
    }

    async fn answer(&self, request: Request<'_>) -> tokio_modbus::Result<Response> {
        let bits = |words: Vec<u16>| words.into_iter().map(|word| word != 0).collect::<Vec<bool>>();
        let (at, count, function) = match request {
            Request::ReadCoils(at, count) => (at, count, Function::Coils),
            Request::ReadDiscreteInputs(at, count) => (at, count, Function::Discrete),
            Request::ReadHoldingRegisters(at, count) => (at, count, Function::Holding),
            Request::ReadInputRegisters(at, count) => (at, count, Function::Input),
            Request::ReportServerId => {
                return self
                    .ask(Asked::ServerId, |data| match data {
                        &[_, id, run, ref more @ ..] => {
                            Some(Response::ReportServerId(id, run == 0xff, more.to_vec()))
                        }
                        _ => None,
                    })
                    .await;
            }
            other => {
                let code = other.function_code();
                return Err(Error::Transport(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!(
                        "function {code} is refused: this client only reads, with functions 1 to 4 and 17"
                    ),
                )));
            }
        };
        let words = self.read(function, at, count).await?;
        Ok(words.map(|words| match function {
            Function::Coils => Response::ReadCoils(bits(words)),
            Function::Discrete => Response::ReadDiscreteInputs(bits(words)),
            Function::Holding => Response::ReadHoldingRegisters(words),
            Function::Input => Response::ReadInputRegisters(words),
        }))
    }
}

/// A refusal is an answer, in the words of that trait.
fn told<T>(result: Result<T, WireError>) -> tokio_modbus::Result<T> {
    match result {
        Ok(answer) => Ok(Ok(answer)),
        Err(WireError::Exception { code, .. }) => Ok(Err(ExceptionCode::new(code))),
        Err(error) => Err(Error::Transport(io::Error::new(kind(&error), error))),
    }
}

/// The kind of I/O error that comes nearest.
fn kind(error: &WireError) -> io::ErrorKind {
    match error {
        WireError::Refused { .. } => io::ErrorKind::ConnectionRefused,
        WireError::ConnectTimeout { .. }
        | WireError::NothingHeard { .. }
        | WireError::Silent { .. }
        | WireError::Quiet { .. }
        | WireError::UnitResting { .. } => io::ErrorKind::TimedOut,
        WireError::Unreachable { .. } | WireError::UnknownHost { .. } => io::ErrorKind::HostUnreachable,
        WireError::ConnectionLost { .. } => io::ErrorKind::ConnectionReset,
        WireError::NotModbus { .. }
        | WireError::OtherFraming { .. }
        | WireError::NoFrame { .. }
        | WireError::NoTelegram { .. }
        | WireError::BadAnswer { .. } => io::ErrorKind::InvalidData,
        WireError::BadRequest { .. } => io::ErrorKind::InvalidInput,
        WireError::OnlyHeard { .. } => io::ErrorKind::Unsupported,
        WireError::Void { .. } => io::ErrorKind::PermissionDenied,
        WireError::Closed { .. } => io::ErrorKind::NotConnected,
        WireError::Down { cause, .. } => kind(cause),
        WireError::Port {
            reason: PortError::Missing { .. },
            ..
        } => io::ErrorKind::NotFound,
        WireError::Port { .. } | WireError::ConnectFailed { .. } | WireError::Exception { .. } => {
            io::ErrorKind::Other
        }
    }
}

impl SlaveContext for EngineClient {
    fn set_slave(&mut self, slave: Slave) {
        self.unit = slave.into();
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

// Written as `async_trait` writes it, which the trait is declared with.
impl Client for EngineClient {
    fn call<'life, 'request, 'call>(
        &'life mut self,
        request: Request<'request>,
    ) -> Boxed<'call, tokio_modbus::Result<Response>>
    where
        'life: 'call,
        'request: 'call,
        Self: 'call,
    {
        Box::pin(self.answer(request))
    }

    /// Lets go of the link, which other handles may still use.
    fn disconnect<'life, 'call>(&'life mut self) -> Boxed<'call, io::Result<()>>
    where
        'life: 'call,
        Self: 'call,
    {
        self.link = None;
        Box::pin(async { Ok(()) })
    }
}
