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
use crate::link::{Link, ReadPlan};
use crate::queue::Priority;
use crate::serial::PortError;

/// A thin adapter: it reads with functions 1 to 4 and refuses every other before anything is sent.
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
        match link
            .read(ReadPlan {
                unit: self.unit,
                span,
                priority: self.priority,
            })
            .await
        {
            Ok(words) => Ok(Ok(words)),
            Err(WireError::Exception { code, .. }) => Ok(Err(ExceptionCode::new(code))),
            Err(error) => Err(Error::Transport(io::Error::new(kind(&error), error))),
        }
    }

    async fn answer(&self, request: Request<'_>) -> tokio_modbus::Result<Response> {
        let bits = |words: Vec<u16>| words.into_iter().map(|word| word != 0).collect::<Vec<bool>>();
        let (at, count, function) = match request {
            Request::ReadCoils(at, count) => (at, count, Function::Coils),
            Request::ReadDiscreteInputs(at, count) => (at, count, Function::Discrete),
            Request::ReadHoldingRegisters(at, count) => (at, count, Function::Holding),
            Request::ReadInputRegisters(at, count) => (at, count, Function::Input),
            other => {
                let code = other.function_code();
                return Err(Error::Transport(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    format!("function {code} is refused: this client only reads, with functions 1 to 4"),
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

/// The kind of I/O error that comes nearest.
fn kind(error: &WireError) -> io::ErrorKind {
    match error {
        WireError::Refused { .. } => io::ErrorKind::ConnectionRefused,
        WireError::ConnectTimeout { .. }
        | WireError::NothingHeard { .. }
        | WireError::Silent { .. }
        | WireError::UnitResting { .. } => io::ErrorKind::TimedOut,
        WireError::Unreachable { .. } | WireError::UnknownHost { .. } => io::ErrorKind::HostUnreachable,
        WireError::ConnectionLost { .. } => io::ErrorKind::ConnectionReset,
        WireError::NotModbus { .. }
        | WireError::OtherFraming { .. }
        | WireError::NoFrame { .. }
        | WireError::BadAnswer { .. } => io::ErrorKind::InvalidData,
        WireError::BadRequest { .. } => io::ErrorKind::InvalidInput,
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
