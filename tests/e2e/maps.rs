//! Register lists: read by flags, made into ledgers, taken over from another tool. The device is a table of registers
//! that knows nothing of Busbar's codec.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::common::{Home, PATIENCE, list, text};

/// A read that the device was asked for: unit, function, address, count.
type Asked = (u8, u8, u16, u16);

/// A device that answers functions 3 and 4 from a table of registers, and notes what it is asked.
struct Table {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Table {
    async fn serve(words: Vec<u16>) -> Table {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (words, notes) = (Arc::new(words), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&words), Arc::clone(&notes)));
            }
        });
        Table { address, asked, task }
    }

    fn url(&self) -> String {
        format!("modbus+tcp://{}", self.address)
    }

    fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, words: Arc<Vec<u16>>, asked: Arc<Mutex<Vec<Asked>>>) {
    let mut request = [0u8; 12];
    while stream.read_exact(&mut request).await.is_ok() {
        let [t0, t1, _, _, _, _, unit, function, a0, a1, c0, c1] = request;
        let (at, count) = (u16::from_be_bytes([a0, a1]), u16::from_be_bytes([c0, c1]));
        asked.lock().unwrap().push((unit, function, at, count));
        let held = words.get(usize::from(at)..usize::from(at) + usize::from(count));
        let pdu = match held {
            Some(held) => {
                let bytes: Vec<u8> = held.iter().flat_map(|word| word.to_be_bytes()).collect();
                [&[function, bytes.len() as u8][..], &bytes].concat()
            }
            None => vec![function | 0x80, 2],
        };
        let length = (pdu.len() as u16 + 1).to_be_bytes();
        let frame = [&[t0, t1, 0, 0, length[0], length[1], unit][..], &pdu].concat();
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

const TYPES: &str = "name,address,length,type\n\
    int16,0,1,INT16\nuint16,1,1,UINT16\nint32,2,2,INT32\nuint32,4,2,UINT32\n\
    int64,6,4,INT64\nuint64,10,4,UINT64\nfloat32,14,2,FLOAT32\nfloat64,16,4,FLOAT64\n";

/// A value of each type, its bytes as mathematics has them, laid out in an order by hand.
fn laid_out(little_bytes: bool, little_words: bool) -> Vec<u16> {
    let values: [&[u8]; 8] = [
        &(-12_345_i16).to_be_bytes(),
        &54_321_u16.to_be_bytes(),
        &(-123_456_789_i32).to_be_bytes(),
        &3_123_456_789_u32.to_be_bytes(),
        &(-1_234_567_890_123_456_i64).to_be_bytes(),
        &1_234_567_890_123_456_u64.to_be_bytes(),
        &230.5_f32.to_be_bytes(),
        &(-49.987_654_321_f64).to_be_bytes(),
    ];
    let mut all = Vec::new();
    for bytes in values {
        let mut pairs: Vec<&[u8]> = bytes.chunks(2).collect();
        if little_words {
            pairs.reverse();
        }
        for pair in pairs {
            let (first, second) = if little_bytes {
                (pair[1], pair[0])
            } else {
                (pair[0], pair[1])
            };
            all.push(u16::from(first) * 256 + u16::from(second));
        }
    }
    all
}

fn expected() -> Value {
    json!({
        "int16": -12_345, "uint16": 54_321, "int32": -123_456_789, "uint32": 3_123_456_789_u32,
        "int64": -1_234_567_890_123_456_i64, "uint64": 1_234_567_890_123_456_u64,
        "float32": 230.5, "float64": -49.987_654_321,
    })
}

fn values(report: &Value) -> Value {
    let points = report["points"].as_object().unwrap();
    points
        .iter()
        .map(|(key, point)| (key.clone(), point["value"].clone()))
        .collect()
}

#[tokio::test]
async fn every_type_in_every_order_is_read_by_flags() {
    let home = Home::new();
    home.write("types.csv", TYPES);
    for (bytes, little_bytes) in [("big", false), ("LITTLE", true)] {
        for (words, little_words) in [("big", false), ("little", true)] {
            let device = Table::serve(laid_out(little_bytes, little_words)).await;
            let args = [
                "read",
                &device.url(),
                "--map",
                "types.csv",
                "--byteorder",
                bytes,
                "--wordorder",
                words,
                "--json",
            ];
            let report = home.run(&args).await.json();
            assert_eq!(values(&report), expected(), "bytes {bytes}, words {words}");
        }
    }
}

#[tokio::test]
async fn an_unknown_order_is_shown_side_by_side_and_chosen_only_when_asked() {
    let (home, device) = (Home::new(), Table::serve(laid_out(false, true)).await);
    home.write("types.csv", TYPES);
    let url = device.url();
    let auto = ["read", &url, "--map", "types.csv", "--wordorder", "auto"];
    let shown = home.run(&[&auto[..], &["--json"]].concat()).await.json();
    assert_eq!(
        (&shown["orders"], &shown["likeliest"]),
        (&json!(["ABCD", "CDAB"]), &json!("CDAB"))
    );
    assert_eq!(shown["points"]["uint32"]["values"]["CDAB"], 3_123_456_789_u32);
    assert_ne!(shown["points"]["uint32"]["values"]["ABCD"], 3_123_456_789_u32);
    let told = home.run(&auto).await;
    assert!(
        told.stdout.contains("--byteorder big --wordorder little"),
        "{told:#?}"
    );

    let picked = home
        .run(&[&auto[..], &["--pick", "--json"]].concat())
        .await
        .json();
    assert_eq!(values(&picked), expected());

    let nothing = Table::serve(vec![0; 20]).await;
    let undecided = home
        .run(&[
            "read",
            &nothing.url(),
            "--map",
            "types.csv",
            "--wordorder",
            "auto",
            "--pick",
            "--json",
        ])
        .await;
    assert_eq!(undecided.failure(1).code, "undecided");
}

#[tokio::test]
async fn shift_unit_function_and_message_size_are_on_the_wire() {
    let (home, device) = (Home::new(), Table::serve((0..400).collect()).await);
    let rows: String = (1..=150).map(|i| format!("r{i};{i};;UINT16\n")).collect();
    home.write("rows.csv", &rows);
    let url = device.url();
    let read = ["read", &url, "--map", "rows.csv", "--json", "--index-shift", "-1"];

    let report = home.run(&read).await.json();
    assert_eq!(
        (
            &report["points"]["r1"]["value"],
            &report["points"]["r150"]["value"]
        ),
        (&json!(0), &json!(149))
    );
    let asked = device.asked();
    assert!(
        asked
            .iter()
            .all(|(unit, function, _, count)| (*unit, *function) == (1, 3) && *count <= 100),
        "{asked:?}"
    );
    assert!(
        asked.iter().any(|(_, _, _, count)| *count > 60),
        "the usual message size is 100: {asked:?}"
    );

    home.run(&[&read[..], &["--message_size", "7", "--unit", "42"]].concat())
        .await
        .json();
    let asked = device.asked();
    assert!(
        asked.iter().all(|(unit, _, _, count)| *unit == 42 && *count <= 7),
        "{asked:?}"
    );
    assert!(asked.len() >= 150usize.div_ceil(7), "{asked:?}");

    home.write("own.toml", "unit_id = 10\nfunction = 4\nindex_shift = 100\nmessage_size = 2\nregisters = [[\"a\", 1, 2, \"UINT32\"], [\"b\", 3, 1, \"UINT16\"]]\n");
    let report = home
        .run(&["read", &url, "--map", "own.toml", "--json"])
        .await
        .json();
    assert_eq!(values(&report), json!({ "a": 101 * 65_536 + 102, "b": 103 }));
    assert!(
        device
            .asked()
            .iter()
            .all(|(unit, function, at, count)| (*unit, *function) == (10, 4) && *at >= 101 && *count <= 2)
    );
}

#[tokio::test]
async fn time_out_and_interval_are_kept() {
    let (home, device) = (Home::new(), Table::serve((0..20).collect()).await);
    home.write("one.csv", "a,7,1,UINT16\n");
    let args = [
        "read",
        &device.url(),
        "--map",
        "one.csv",
        "--interval",
        "50ms",
        "--json",
    ];
    let mut child = home.command(&args).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        let line = timeout(PATIENCE, lines.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        let report: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(report["points"]["a"]["value"], 7);
    }
    child.kill().await.unwrap();
    assert!(device.asked().len() >= 3);

    // Takes connections and never says a word.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("modbus+tcp://{}", silent.local_addr().unwrap());
    let quick = home
        .run(&["read", &url, "--map", "one.csv", "--timeout", "50ms", "--json"])
        .await;
    quick.failure(1);
}

#[tokio::test]
async fn faults_have_file_line_and_column_and_flags_their_place() {
    let (home, url) = (Home::new(), "modbus+tcp://127.0.0.1:1");
    home.write(
        "bad.csv",
        "name,address,length,type\nu,1,2,FLOAT46\ne,1,2,UINT64\n",
    );
    let run = home.run(&["read", url, "--map", "bad.csv", "--json"]).await;
    assert_eq!(run.failure(1).code, "ledger");
    let faults = list(&list(&run.document(), "files")[0], "errors").to_vec();
    assert!(
        faults[0].as_str().unwrap().starts_with("bad.csv:2:7: `FLOAT46`"),
        "{faults:?}"
    );
    assert!(
        faults[1]
            .as_str()
            .unwrap()
            .starts_with("bad.csv:3:5: UINT64 has 4 registers, not 2 (write 4"),
        "{faults:?}"
    );
    let person = home.run(&["read", url, "--map", "bad.csv"]).await;
    assert!(person.stderr.contains("[bad.csv:2:7]"), "{person:#?}");

    let lost = home
        .run(&[
            "read",
            url,
            "--ledger",
            "generic/demo-meter",
            "--wordorder",
            "little",
            "--json",
        ])
        .await;
    assert_eq!(lost.failure(2).code, "usage");
    let both = home
        .run(&["read", url, "--ledger", "x", "--map", "bad.csv"])
        .await;
    assert_eq!(both.code(), 2, "{both:#?}");
}

#[tokio::test]
async fn a_list_becomes_a_ledger_that_reads_the_same() {
    let (home, device) = (Home::new(), Table::serve(laid_out(false, true)).await);
    home.write("types.csv", TYPES);
    let new = [
        "ledger",
        "new",
        "types.csv",
        "--name",
        "acme/em3",
        "--wordorder",
        "little",
        "--output",
        "em3.toml",
        "--json",
    ];
    let made = home.run(&new).await.json();
    assert_eq!((text(&made, "ledger"), &made["points"]), ("acme/em3", &json!(8)));
    home.run(&["ledger", "check", "em3.toml", "--json"]).await.json();
    let report = home
        .run(&["read", &device.url(), "--ledger", "em3.toml", "--json"])
        .await
        .json();
    assert_eq!(values(&report), expected());

    assert_eq!(home.run(&new).await.failure(2).code, "usage");
    let printed = home.run(&["ledger", "new", "types.csv"]).await;
    assert!(
        printed.stdout.starts_with("ledger = \"generic/types\""),
        "{printed:#?}"
    );
    let alone = home
        .run(&["ledger", "new", "--url", &device.url(), "--json"])
        .await;
    assert!(
        alone.failure(2).hint.contains("busbar ledger new FILE"),
        "{alone:#?}"
    );
}

#[tokio::test]
async fn the_map_of_the_older_reader_is_taken_over() {
    let (home, device) = (Home::new(), Table::serve(laid_out(false, false)).await);
    let source = format!(
        "raise SystemExit('executed')\nMeter = ModbusDevice(\n  model='Cellar meter',\n  registers_map=[\n    \
         Register('uint32', 5, 2, MBClient.DATATYPE.UINT32),\n    Register('float32', 0x0F, 2, MBClient.DATATYPE.FLOAT32),\n    \
         Register('odd', BASE + 1, 2, MBClient.DATATYPE.FLOAT32),\n  ],\n  unit=10,\n  index_shift=-1,\n)\n\
         client = ModbusTcpClient('127.0.0.1', port={})\n",
        device.address.port()
    );
    home.write("meter.py", &source);
    let report = home
        .run(&["import", "energy-meter", "meter.py", "--json"])
        .await
        .json();
    assert_eq!(list(&report, "not_understood")[0]["line"], 7, "{report:#}");
    let taken = &list(&report, "devices")[0];
    assert_eq!(
        (text(taken, "output"), &taken["registers"], &taken["index_shift"]),
        ("cellar-meter.toml", &json!(2), &json!(-1))
    );

    // The line that is offered does it.
    let line: Vec<&str> = text(taken, "read").split(' ').skip(1).chain(["--json"]).collect();
    let read = home.run(&line).await.json();
    assert_eq!(
        values(&read),
        json!({ "uint32": 3_123_456_789_u32, "float32": 230.5 })
    );
    assert!(device.asked().iter().all(|(unit, ..)| *unit == 10));

    let told = home.run(&["import", "energy-meter", "meter.py", "--force"]).await;
    assert!(told.stdout.contains("meter.py:7:"), "{told:#?}");
    home.write("nothing.py", "print('hello')\n");
    home.run(&["import", "energy-meter", "nothing.py", "--json"])
        .await
        .failure(3);
}

#[tokio::test]
async fn what_a_device_lacks_of_a_list_is_told() {
    let (home, device) = (Home::new(), Table::serve(vec![7; 20]).await);
    home.write("some.csv", "x,300,1,UINT16,V\na,7,1,UINT16\n");
    let read = ["read", &device.url(), "--map", "some.csv"];
    let report = home.run(&[&read[..], &["--json"]].concat()).await.json();
    let lacking = &report["points"]["x"];
    assert_eq!(
        (&lacking["value"], &lacking["quality"], &lacking["unit"]),
        (&Value::Null, &json!("unavailable"), &json!("V"))
    );
    assert_eq!(
        lacking["why"],
        "not there: exception 2 (address not known) at 300"
    );
    assert_eq!(report["points"]["a"]["value"], 7);
    let told = home.run(&read).await;
    assert!(
        told.stdout
            .contains("not there: exception 2 (address not known) at 300"),
        "{told:#?}"
    );
    // A ledger describes a family of devices: what this one lacks is left out.
    home.run(&["ledger", "new", "some.csv", "--output", "some.toml", "--json"])
        .await
        .json();
    let report = home
        .run(&["read", &device.url(), "--ledger", "some.toml", "--json"])
        .await
        .json();
    assert_eq!(values(&report), json!({ "a": 7 }));
}

#[tokio::test]
async fn one_value_of_another_order_and_a_list_that_counts_from_1_are_noticed() {
    let home = Home::new();
    let mut words = Vec::new();
    // 230.07, 231.14, 229.07 and 50.02.
    for bits in [0x4366_1234_u32, 0x4367_2345, 0x4365_1111, 0x4248_1456] {
        words.extend([(bits >> 16) as u16, bits as u16]);
    }
    words.swap(6, 7);
    words.push(0);
    let device = Table::serve(words).await;
    let rows = |shift: u16, own: &str| -> String {
        let at = |n: u16| n * 2 + shift;
        format!(
            "name,address,type,unit,order\na,{},FLOAT32,V,\nb,{},FLOAT32,V,\nc,{},FLOAT32,V,\nd,{},FLOAT32,Hz,{own}\n",
            at(0),
            at(1),
            at(2),
            at(3)
        )
    };
    home.write("list.csv", &rows(0, ""));
    let url = device.url();
    let auto = ["read", &url, "--map", "list.csv", "--wordorder", "auto"];
    let shown = home.run(&auto).await;
    assert!(shown.stdout.contains("d looks likelier as CDAB"), "{shown:#?}");
    let document = home.run(&[&auto[..], &["--json"]].concat()).await.json();
    assert_eq!(document["points"]["d"]["likelier"], "CDAB");
    let picked = home.run(&[&auto[..], &["--pick", "--json"]].concat()).await;
    assert!(picked.stderr.contains("d looks likelier as CDAB"), "{picked:#?}");
    let a = f64::from(f32::from_bits(0x4366_1234));
    assert_eq!(picked.json()["points"]["a"]["value"], a);

    home.write("list.csv", &rows(0, "little"));
    let right = home.run(&["read", &url, "--map", "list.csv"]).await;
    assert!(
        right.stdout.contains("50.0199 Hz") && !right.stdout.contains("look wrong"),
        "{right:#?}"
    );
    home.write("list.csv", &rows(1, "little"));
    let shifted = home.run(&["read", &url, "--map", "list.csv"]).await;
    assert!(shifted.stdout.contains("try --index-shift -1"), "{shifted:#?}");
}

#[tokio::test]
async fn a_list_where_a_ledger_is_expected_is_known_for_one_and_checked_as_one() {
    let home = Home::new();
    home.write("list.csv", "a,1,1,UINT16\n");
    home.write("list.toml", "registers = [[\"a\", 1, 1, \"UINT16\"]]\n");
    home.write("bad.csv", "a,1,1,UINT17\n");
    for list in ["list.csv", "list.toml"] {
        let lost = home
            .run(&["read", "modbus+tcp://127.0.0.1:1", "--ledger", list, "--json"])
            .await;
        assert!(lost.failure(2).hint.contains("--map"), "{lost:#?}");
        let checked = home.run(&["ledger", "check", list]).await;
        assert!(checked.stdout.contains("1 registers"), "{checked:#?}");
    }
    let bad = home.run(&["ledger", "check", "bad.csv"]).await;
    assert!(bad.stdout.contains("UINT17") && bad.code() == 1, "{bad:#?}");
    let nothing = home.run(&["ledger", "new"]).await;
    assert!(
        nothing.stderr.contains("FILE") && nothing.stderr.contains("--url"),
        "{nothing:#?}"
    );
    let made = home
        .run(&["ledger", "new", "list.csv", "--output", "new.toml"])
        .await;
    assert!(
        made.stdout.contains("busbar ledger check new.toml")
            && made.stdout.contains("busbar scan URL --ledger new.toml --save"),
        "{made:#?}"
    );
}

#[tokio::test]
async fn zeros_are_shown_once() {
    let (home, device) = (Home::new(), Table::serve(vec![0; 20]).await);
    let shown = home
        .run(&["raw", &device.url(), "--unit", "1", "--at", "0", "--count", "4"])
        .await;
    assert!(
        shown.stdout.contains("Nothing but zeros") && !shown.stdout.contains("could mean"),
        "{shown:#?}"
    );
}
