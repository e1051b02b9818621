//! What is read arrives elsewhere, too: at Prometheus, InfluxDB and PostgreSQL themselves, and in files.

#[path = "../../host/store/tests/postgres/server.rs"]
mod postgres;

use std::net::SocketAddr;

use busbar_store::{Postgres, PostgresUrl};
use busbar_zoo::{simulate::Running, site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::host::Background;
use crate::common::peers;
use crate::common::site::HOUSE;
use crate::common::{Home, PATIENCE, until};

const BATTERY: &str = "c0619ab1234f_battery_u225";

/// A house that was scanned.
async fn house() -> (Home, Running) {
    let (home, running) = (Home::new(), site(HOUSE).await);
    let url = running.url("gx").unwrap();
    home.run(&["scan", &url, "--save", "--name", "home", "--json"])
        .await
        .json();
    (home, running)
}

/// A request with headers of its own, and the whole body of its answer, its chunks put together.
async fn ask(server: SocketAddr, request: &str, headers: &str, body: &str) -> (String, String) {
    let length = body.len();
    let request = format!(
        "{request} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    let Ok(mut stream) = TcpStream::connect(server).await else {
        return (String::new(), String::new());
    };
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("an answer in time")
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, mut rest) = text.split_once("\r\n\r\n").unwrap();
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return (head.to_owned(), rest.to_owned());
    }
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (head.to_owned(), body);
        }
        body.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
}

#[tokio::test]
async fn prometheus_understands_every_metric_in_both_formats() {
    let (home, _running) = house().await;
    let host = home
        .host_with("[metrics]\ntags = { site = \"my \\\"house\\\"\" }\n")
        .await;
    let of_battery = format!("device=\"{BATTERY}\"");
    let sample = async |accept: &str| {
        until("the state of charge among the metrics", async || {
            let (head, body) = ask(host.address, "GET /metrics", accept, "").await;
            let is_soc = |line: &&str| {
                line.starts_with("busbar_battery_ratio{")
                    && line.contains(&of_battery)
                    && line.contains("key=\"soc\"")
            };
            let value = body.lines().find(is_soc)?.rsplit(' ').next()?.parse::<f64>().ok();
            Some((head, body.clone(), value?))
        })
        .await
    };
    let (head, text, soc) = sample("").await;
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let id = format!("/api/v1/entities/{BATTERY}.soc");
    let told = host.get(&id).await["value"].as_f64().unwrap();
    assert!((told / 100.0 - soc).abs() < 1e-9, "{told} {soc}");
    for metric in [
        "busbar_build_info{version=",
        "busbar_uptime_seconds ",
        "busbar_devices{availability=\"online\"} ",
        "busbar_device_up{",
        "busbar_link_requests_total{connection=\"home\"} ",
        "busbar_link_latency_seconds{",
        "busbar_plugin_failures_total{plugin=\"victron-gx\"} 0",
        "busbar_database_size_bytes{database=\"registry\"} ",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "site=\"my \\\"house\\\"\"",
        "busbar_energy_joules_total{",
        "busbar_state_info{",
    ] {
        assert!(text.contains(metric), "{metric}");
    }
    let (head, open, _) = sample("Accept: application/openmetrics-text; version=1.0.0\r\n").await;
    assert!(
        head.contains("application/openmetrics-text") && open.ends_with("# EOF\n"),
        "{head}"
    );
    host.stop().await;
    if let Some(said) = peers::promtool(&text).await {
        assert!(said.status.success(), "{}{}", said.stdout, said.stderr);
    }
    if let Some(said) = peers::openmetrics(&open).await {
        assert!(said.status.success(), "{}{}", said.stdout, said.stderr);
        let families: usize = said.stdout.trim().parse().unwrap();
        assert!(families > 30, "{families}");
    }
}

/// An InfluxDB 1.x with a directory and ports of its own.
struct Influx {
    address: SocketAddr,
    config: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

impl Influx {
    fn prepare() -> Self {
        let free = || {
            std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
        };
        let (address, backup, dir) = (free(), free(), tempfile::tempdir().unwrap());
        let at = dir.path().display();
        let text = format!(
            "reporting-disabled = true\nbind-address = \"{backup}\"\n[meta]\ndir = \"{at}/meta\"\n[data]\ndir = \"{at}/data\"\n\
             wal-dir = \"{at}/wal\"\n[http]\nbind-address = \"{address}\"\nlog-enabled = false\n[monitor]\n\
             store-enabled = false\n"
        );
        let config = dir.path().join("influxdb.conf");
        std::fs::write(&config, text).unwrap();
        Influx {
            address,
            config,
            _dir: dir,
        }
    }

    async fn query(&self, query: &str) -> Option<String> {
        let form = "Content-Type: application/x-www-form-urlencoded\r\n";
        let (head, body) = ask(self.address, "POST /query?db=busbar", form, &format!("q={query}")).await;
        head.contains(" 200 ").then_some(body)
    }
}

#[tokio::test]
async fn influxdb_gets_what_it_missed_and_what_is_new() {
    let Some(program) = peers::influxd().await else {
        return;
    };
    let (home, _running) = house().await;
    let influx = Influx::prepare();
    // It is away when the host starts.
    let host = home
        .host_with(&format!(
            "[influxdb]\nurl = \"http://{}\"\ndatabase = \"busbar\"\n",
            influx.address
        ))
        .await;
    host.process.logs("trying again").await;
    let mut server = tokio::process::Command::new(program);
    server
        .arg("-config")
        .arg(&influx.config)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    server
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let _server = Background::of(server);
    until("the database", async || {
        influx.query("CREATE+DATABASE+busbar").await
    })
    .await;
    let soc = "select+last(value)+from+battery+where+\"key\"='soc'";
    let found = until("a value in the database", async || {
        influx.query(soc).await.filter(|answer| answer.contains("values"))
    })
    .await;
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let value = found["results"][0]["series"][0]["values"][0][1].as_f64();
    assert!(value.is_some_and(|soc| (1.0..=100.0).contains(&soc)), "{found}");
    let states = influx.query("select+count(state)+from+enum").await.unwrap();
    assert!(states.contains("values"), "{states}");
    let doctor = home.run(&["doctor", "--json"]).await.document();
    let sink = doctor["findings"].as_array().unwrap().iter();
    let sink = sink
        .clone()
        .find(|f| f["area"].as_str().unwrap().starts_with("sink \"influxdb\""))
        .unwrap();
    assert_eq!(sink["level"], "ok", "{sink}");
    let run = host.stop().await;
    assert!(!run.stderr.contains("which are dropped"), "{}", run.stderr);
}

#[tokio::test]
async fn readings_are_written_to_files_and_to_standard_output() {
    let (home, _running) = house().await;
    home.write(
        "busbar.toml",
        "[[file]]\nformat = \"csv\"\npath = \"out/all.csv\"\nrotate = \"1MiB\"\n\
         [[file]]\nformat = \"jsonl\"\npath = \"-\"\nentities = [\"victron/gx-battery:*\"]\n",
    );
    let refused = home.run(&["run", "--once", "--json"]).await;
    assert_eq!(refused.code(), 2, "{refused:?}");
    let run = home.run(&["run", "--once"]).await;
    assert_eq!(run.code(), 0, "{run:?}");
    let lines: Vec<serde_json::Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    assert!(
        lines
            .iter()
            .any(|line| line["key"] == "soc" && line["quality"] == "good"),
        "{run:?}"
    );
    assert!(lines.iter().all(|line| line["device"] == BATTERY), "{run:?}");
    let csv = std::fs::read_to_string(home.path().join("out/all.csv")).unwrap();
    let mut rows = csv.lines();
    assert_eq!(rows.next(), Some("time,device,key,value,unit,quality"));
    let soc = lines.iter().find(|line| line["key"] == "soc").unwrap();
    let row = format!(",{BATTERY},soc,{},%,good", soc["value"].as_f64().unwrap());
    assert!(rows.any(|line| line.ends_with(&row)), "{row}");
}

#[tokio::test]
async fn postgresql_keeps_what_is_read() {
    if !peers::postgres() {
        return;
    }
    let mut server = tokio::task::spawn_blocking(postgres::Server::start)
        .await
        .unwrap();
    let (home, _running) = house().await;
    home.write(
        "busbar.toml",
        &format!("[postgres]\nurl = \"{}\"\n", server.url()),
    );
    let mut command = home.command(&["run", "--once"]);
    command.env("BUSBAR_POSTGRES_PASSWORD", "hunter2");
    let run = Background::of(command).end().await;
    assert_eq!(run.code(), 0, "{run:?}");
    let url = PostgresUrl::parse(&server.url())
        .unwrap()
        .with(Some("hunter2"), None);
    let database = Postgres::connect(&url).await.unwrap();
    let (rows, soc) = database.newest(&format!("{BATTERY}.soc")).await.unwrap();
    assert!(
        rows == 1 && soc.is_some_and(|soc| (1.0..=100.0).contains(&soc)),
        "{rows} {soc:?}"
    );
    database.close().await;
    server.stop();
}
