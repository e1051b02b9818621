//! Against programs that Busbar did not write: pymodbus as client and as device, and mbpoll. What they say is what Busbar
//! says, register by register.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use busbar_zoo::line::Pair;
use serde_json::Value;

use crate::common::host::Background;
use crate::common::peers::{Mbpoll, Pymodbus};
use crate::common::{Home, keys, text};

/// The registers of a VM-3P75CT with firmware 1.09, as other clients know them, each with a value at some edge.
const VM: &str = include_str!("peers/vm-3p75ct.csv");
/// Of these the registers say that there is no value.
const ABSENT: [&str; 2] = ["energy_reverse_l3", "voltage_l2_l3"];
/// Points of the ledger that are parts of other registers.
const PARTS: [&str; 2] = ["phase_rotation", "udp_snapshots"];

const COLUMNS: &str = "key,address,type,length,order,scale,value\n";

/// A register or several, with what they hold: a row of a list.
#[derive(Clone, Debug)]
struct Row {
    key: String,
    address: u16,
    ty: String,
    length: u16,
    order: String,
    value: String,
}

fn rows(list: &str) -> Vec<Row> {
    let row = |line: &str| {
        let [key, address, ty, length, order, _, value] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        Row {
            key: key.to_owned(),
            address: address.parse().unwrap(),
            ty: ty.to_owned(),
            length: length.parse().unwrap(),
            order: order.to_owned(),
            value: value.to_owned(),
        }
    };
    list.lines().skip(1).map(row).collect()
}

impl Row {
    /// Fails unless Busbar shows what the other program read, and both what the device holds.
    fn check(&self, ours: &Value, theirs: &Value, absent: bool) {
        let about = format!("{self:?}: Busbar {ours}, pymodbus {theirs}");
        assert_eq!(ours["raw"], theirs["raw"], "{about}");
        let (our, their) = (&ours["value"], &theirs["value"]);
        if self.ty == "TEXT" {
            assert!(*our == *self.value && *their == *self.value, "{about}");
            return;
        }
        let held: f64 = self.value.parse().unwrap();
        if absent || !held.is_finite() {
            assert!(our.is_null() && ours["quality"] == "invalid", "{about}");
            assert!(absent || their.is_null(), "{about}");
            return;
        }
        assert_eq!(ours["quality"], "good", "{about}");
        // Whole numbers as far as JSON's readers have them: one above 2^63 is a floating-point number to Busbar.
        if let Ok(held) = self.value.parse::<i64>() {
            assert_eq!(
                (our.as_i64(), their.as_i64()),
                (Some(held), Some(held)),
                "{about}"
            );
        }
        let (our, their) = (our.as_f64().unwrap(), their.as_f64().unwrap());
        if self.ty == "FLOAT32" {
            // One number of 32 bits, written with as many digits as the writer likes.
            assert_eq!((our as f32, their as f32), (held as f32, held as f32), "{about}");
        } else {
            let near = |value: f64| (value - held).abs() <= held.abs() * 1e-12;
            assert!(near(our) && near(their), "{about}");
        }
    }
}

/// What Busbar reads of a VM-3P75CT, and what pymodbus does, agree with the list. What says which device it is may be
/// another than the list's.
fn check_vm(report: &Value, theirs: &Value, identity: bool) {
    let rows = rows(VM);
    for row in &rows {
        match row.key.as_str() {
            // A point to nobody; it shows as the text that the raw bytes mean.
            "firmware" => assert_eq!(text(&report["device"], "firmware"), "v1.09"),
            "serial" if !identity => assert_eq!(report["device"]["serial"], theirs["serial"]["value"]),
            key => row.check(&report["points"][key], &theirs[key], ABSENT.contains(&key)),
        }
    }
    let known = |key: &&str| rows.iter().any(|row| row.key == *key) || PARTS.contains(key);
    let points = keys(&report["points"]);
    assert!(points.iter().all(known), "{points:?}");
}

#[tokio::test]
async fn a_meter_of_pymodbus_is_read_right() {
    let Some(pymodbus) = Pymodbus::find().await else {
        return;
    };
    let home = Home::new();
    let list = home.write("vm.csv", VM);
    let (_device, port) = pymodbus.serve(&list, &["udp"]).await;
    let theirs = pymodbus.read(&list, &["udp", &port]).await;
    let url = format!("modbus+udp://127.0.0.1:{port}");
    let report = home
        .run(&["read", &url, "--ledger", "victron/vm-3p75ct", "--json"])
        .await
        .json();
    check_vm(&report, &theirs, true);
}

#[tokio::test]
async fn a_simulated_meter_is_read_alike_by_pymodbus_and_busbar() {
    let Some(pymodbus) = Pymodbus::find().await else {
        return;
    };
    let home = Home::new();
    let list = home.write("vm.csv", VM);
    let mut site = format!(
        "[[device]]\nname = \"vm\"\nkind = \"ledger\"\nlisten = \"modbus+udp://127.0.0.1:0\"\n\
         [[device.unit]]\nunit = 1\nledger = \"victron/vm-3p75ct\"\nfirmware = \"0.1.9.255\"\ninvalid = {ABSENT:?}\n[device.unit.values]\n"
    );
    for row in rows(VM) {
        let (key, value) = (&row.key, &row.value);
        match row.ty.as_str() {
            _ if ["product_id", "serial", "firmware"].contains(&&**key) || ABSENT.contains(&&**key) => Ok(()),
            "TEXT" => writeln!(site, "{key} = {value:?}"),
            _ => writeln!(site, "{key} = {value}"),
        }
        .unwrap();
    }
    home.write("site.toml", &site);
    let device = Background::start(&home, &["simulate", "site.toml"]);
    let line = device.says("modbus+udp://").await;
    let url = line.split_whitespace().last().unwrap();
    let (_, port) = url.rsplit_once(':').unwrap();
    let theirs = pymodbus.read(&list, &["udp", port]).await;
    let report = home
        .run(&["read", url, "--ledger", "victron/vm-3p75ct", "--json"])
        .await
        .json();
    check_vm(&report, &theirs, false);
}

const ORDERS: [&str; 4] = ["ABCD", "CDAB", "BADC", "DCBA"];

/// Each type with its registers, its name in a ledger, and values: small, negative, large, odd.
const TYPES: [(&str, u16, &str, &[&str]); 8] = [
    ("INT16", 1, "i16", &["1", "-12345", "32767", "-32768"]),
    ("UINT16", 1, "u16", &["0", "258", "54321", "65535"]),
    (
        "INT32",
        2,
        "i32",
        &["65536", "-123456789", "2147483647", "-2147483648"],
    ),
    ("UINT32", 2, "u32", &["1", "16909060", "3123456789", "4294967295"]),
    (
        "INT64",
        4,
        "i64",
        &[
            "4294967296",
            "-1234567890123456789",
            "9223372036854775807",
            "-9223372036854775808",
        ],
    ),
    (
        "UINT64",
        4,
        "u64",
        &["72623859790382856", "1234567890123456789", "18446744073709551615"],
    ),
    (
        "FLOAT32",
        2,
        "f32",
        &[
            "230.53",
            "-49.98",
            "-0.0",
            "1e-45",
            "3.4028235e38",
            "nan",
            "inf",
            "-inf",
        ],
    ),
    (
        "FLOAT64",
        4,
        "f64",
        &[
            "0.1",
            "-49.987654321",
            "5e-324",
            "1.7976931348623157e308",
            "nan",
            "inf",
            "-inf",
        ],
    ),
];

/// All values in all orders, one type of one order after the other.
fn types() -> Vec<Row> {
    let mut address = 0;
    let mut all = Vec::new();
    for order in ORDERS {
        for (ty, length, _, values) in TYPES {
            for (i, value) in values.iter().enumerate() {
                all.push(Row {
                    key: format!("{}_{i}_{}", ty.to_lowercase(), order.to_lowercase()),
                    address,
                    ty: ty.to_owned(),
                    length,
                    order: order.to_owned(),
                    value: (*value).to_owned(),
                });
                address += length;
            }
        }
    }
    all
}

/// A device of pymodbus with all values of all types.
struct Generic {
    home: Home,
    rows: Vec<Row>,
    list: PathBuf,
}

impl Generic {
    fn new() -> Self {
        let (home, rows) = (Home::new(), types());
        let mut list = COLUMNS.to_owned();
        let mut ledger =
            "ledger = \"test/types\"\ntitle = \"Types\"\n[read]\nfunction = \"holding\"\n[points]\n"
                .to_owned();
        for Row {
            key,
            address,
            ty,
            length,
            order,
            value,
            ..
        } in &rows
        {
            writeln!(list, "{key},{address},{ty},{length},{order},1,{value}").unwrap();
            let (_, _, name, _) = TYPES.iter().find(|(t, ..)| t == ty).unwrap();
            writeln!(
                ledger,
                "{key} = {{ at = {address}, type = \"{name}\", order = \"{order}\" }}"
            )
            .unwrap();
        }
        home.write("types.toml", &ledger);
        for order in ORDERS {
            let of = rows.iter().filter(|row| row.order == order);
            let map: String = of
                .map(|row| format!("{},{},{},{}\n", row.key, row.address, row.length, row.ty))
                .collect();
            home.write(&format!("{order}.csv"), &map);
        }
        let list = home.write("list.csv", &list);
        Generic { home, rows, list }
    }

    /// Busbar reads all of it, by a ledger and by register lists, and pymodbus does.
    async fn check(&self, pymodbus: Pymodbus, line: &[&str], url: &str) {
        let theirs = pymodbus.read(&self.list, line).await;
        let read = ["read", url, "--ledger", "types.toml", "--unit", "1", "--json"];
        let report = self.home.run(&read).await.json();
        for row in &self.rows {
            row.check(&report["points"][&row.key], &theirs[&row.key], false);
        }
        for (order, bytes, words) in [
            ("ABCD", "big", "big"),
            ("CDAB", "big", "little"),
            ("BADC", "little", "big"),
            ("DCBA", "little", "little"),
        ] {
            let map = format!("{order}.csv");
            let read = [
                "read",
                url,
                "--map",
                &map,
                "--byteorder",
                bytes,
                "--wordorder",
                words,
                "--json",
            ];
            let report = self.home.run(&read).await.json();
            for row in self.rows.iter().filter(|row| row.order == order) {
                row.check(&report["points"][&row.key], &theirs[&row.key], false);
            }
        }
    }

    /// mbpoll shows the same numbers, as far as it knows types and orders.
    async fn check_mbpoll(&self, mbpoll: Mbpoll, line: &[&str]) {
        for (ty, option) in [
            ("INT16", "4"),
            ("UINT16", "4"),
            ("INT32", "4:int"),
            ("UINT32", "4:int"),
            ("FLOAT32", "4:float"),
        ] {
            for (order, big) in [("ABCD", Some("-B")), ("CDAB", None)] {
                let mut of = self.rows.iter().filter(|row| row.ty == ty && row.order == order);
                let first = of.clone().next().unwrap().address.to_string();
                let count = of.clone().count().to_string();
                let what = ["-0", "-1", "-a", "1", "-t", option, "-r", &first, "-c", &count];
                let said = mbpoll.read(&[&what[..], big.as_slice(), line].concat()).await;
                assert_eq!(said.len().to_string(), count, "{said:?}");
                let agrees = |said: &String| {
                    let row = of.next().unwrap();
                    if ty == "FLOAT32" {
                        // It writes six digits, and a sign before what is no number.
                        let held: f64 = row.value.parse::<f32>().unwrap().into();
                        let shown: f64 = said.parse().unwrap_or(f64::NAN);
                        shown.is_nan() && said.ends_with("nan") && held.is_nan()
                            || shown == held
                            || (shown - held).abs() <= held.abs() * 1e-5
                    } else {
                        // It has no sign where we have one, and one where we have none.
                        let (held, shown): (i64, i64) = (row.value.parse().unwrap(), said.parse().unwrap());
                        (shown - held).rem_euclid(1 << (16 * row.length)) == 0
                    }
                };
                assert!(said.iter().all(agrees), "{ty} {order}: {said:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_type_in_every_order_over_tcp() {
    let (Some(pymodbus), Some(mbpoll)) = (Pymodbus::find().await, Mbpoll::find().await) else {
        return;
    };
    let generic = Generic::new();
    let (_device, port) = pymodbus.serve(&generic.list, &["tcp"]).await;
    let url = format!("modbus+tcp://127.0.0.1:{port}");
    generic.check(pymodbus, &["tcp", &port], &url).await;
    generic
        .check_mbpoll(mbpoll, &["-m", "tcp", "-p", &port, "127.0.0.1"])
        .await;
}

#[tokio::test]
async fn every_type_in_every_order_over_udp() {
    let Some(pymodbus) = Pymodbus::find().await else {
        return;
    };
    let generic = Generic::new();
    let (_device, port) = pymodbus.serve(&generic.list, &["udp"]).await;
    let url = format!("modbus+udp://127.0.0.1:{port}");
    generic.check(pymodbus, &["udp", &port], &url).await;
}

#[tokio::test]
async fn every_type_in_every_order_over_a_serial_line() {
    let (Some(pymodbus), Some(mbpoll)) = (Pymodbus::find().await, Mbpoll::find().await) else {
        return;
    };
    let Some(pair) = Pair::new().await else { return };
    let generic = Generic::new();
    let path = |path: &Path| path.display().to_string();
    let (_device, _) = pymodbus
        .serve(&generic.list, &[&path(&pair.device()), "115200"])
        .await;
    let port = path(&pair.client());
    let url = pair.client_url("baud=115200&parity=none");
    generic.check(pymodbus, &[&port, "115200"], &url).await;
    generic
        .check_mbpoll(mbpoll, &["-m", "rtu", "-b", "115200", "-P", "none", &port])
        .await;
}
