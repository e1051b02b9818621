//! What a read costs through the whole wire, beside tokio-modbus in the same run: `cargo bench -p busbar-wire`.
//!
//! Client and server share one core and each runs on one thread, so what is measured is work and not the machine's
//! wake-ups. Compare the ratios; the rates differ from machine to machine.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use busbar_ledger::span::Span;
use busbar_wire::{InFlight, Link, Options, Priority, ReadPlan};
use futures_util::future::try_join_all;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::net::TcpStream;
use tokio_modbus::client::{Context, Reader, tcp};
use tokio_modbus::slave::Slave;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Registers of each read.
const REGISTERS: u16 = 50;
/// Reads of one sample.
const READS: u32 = 20_000;
/// Samples of each client, taken in turn.
const SAMPLES: usize = 7;
/// Reads that are in flight at once where the device allows it.
const SEVERAL: u16 = 8;

fn main() -> Result<()> {
    share_one_core()?;
    let server = serve()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(compare(server))
}

async fn compare(server: SocketAddr) -> Result<()> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut peer = tcp::attach_slave(stream, Slave(1));
    let (one, several) = (link(server, 1)?, link(server, SEVERAL)?);
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..SAMPLES {
        times[0].push(by_peer(&mut peer).await?);
        times[1].push(by_link(&one, 1).await?);
        times[2].push(by_link(&several, SEVERAL).await?);
    }
    let [theirs, one, several] = times.map(rate);
    println!("reads of {REGISTERS} registers a second, median of {SAMPLES} samples");
    println!("tokio-modbus, one in flight {theirs:>9.0}");
    println!(
        "busbar-wire, one in flight  {one:>9.0}   {:.2} times; at least 0.9 is wanted",
        one / theirs
    );
    println!(
        "busbar-wire, {SEVERAL} in flight    {several:>9.0}   {:.2} times; at least 3 is wanted",
        several / theirs
    );
    Ok(())
}

fn link(server: SocketAddr, in_flight: u16) -> Result<Link> {
    let in_flight = InFlight {
        start: in_flight,
        max: in_flight,
    };
    let options = Options {
        in_flight,
        ..Options::default()
    };
    Ok(Link::open(format!("modbus+tcp://{server}").parse()?, options))
}

async fn by_peer(peer: &mut Context) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..READS {
        let words = peer.read_holding_registers(0, REGISTERS).await??;
        assert_eq!(words.len(), usize::from(REGISTERS));
    }
    Ok(start.elapsed())
}

async fn by_link(link: &Link, at_once: u16) -> Result<Duration> {
    let plan = ReadPlan {
        unit: 1,
        span: Span::holding(0, REGISTERS),
        priority: Priority::Poll,
    };
    let start = Instant::now();
    try_join_all((0..at_once).map(async |_| -> Result<()> {
        for _ in 0..READS / u32::from(at_once) {
            let words = link.read(plan).await?;
            assert_eq!(words.len(), usize::from(REGISTERS));
        }
        Ok(())
    }))
    .await?;
    Ok(start.elapsed())
}

/// Reads a second, from the median.
fn rate(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    f64::from(READS) / times[times.len() / 2].as_secs_f64()
}

/// This thread and those that it starts stay on one core.
fn share_one_core() -> Result<()> {
    let allowed = sched_getaffinity(None)?;
    let core = (0..CpuSet::MAX_CPU).find(|core| allowed.is_set(*core));
    let mut only = CpuSet::new();
    only.set(core.ok_or("no core to run on")?);
    Ok(sched_setaffinity(None, &only)?)
}

/// A device that answers as fast as can be: every request that has come with the same registers, in one write.
fn serve() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || -> std::io::Result<()> {
                stream.set_nodelay(true)?;
                // A read request is 12 bytes.
                let (mut requests, mut filled) = ([0; 12 * 64], 0);
                let mut answers = Vec::new();
                loop {
                    filled += match stream.read(&mut requests[filled..])? {
                        0 => return Ok(()),
                        read => read,
                    };
                    answers.clear();
                    let whole = filled - filled % 12;
                    for request in requests[..whole].chunks_exact(12) {
                        let bytes = 2 * request[11];
                        answers.extend_from_slice(&request[..4]);
                        answers.extend_from_slice(&[0, bytes + 3, request[6], request[7], bytes]);
                        answers.extend(0..bytes);
                    }
                    requests.copy_within(whole..filled, 0);
                    filled -= whole;
                    stream.write_all(&answers)?;
                }
            });
        }
    });
    Ok(address)
}
