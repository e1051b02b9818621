//! Maps as people have them, and as nobody should.

use super::*;
use busbar_ledger::model::Order;

/// The shape of the maps that the reader's own documentation shows; names and numbers are our own.
const USUAL: &str = r#"
from pymodbus.client.tcp import ModbusTcpClient as MBClient
from flexmodbusreader.device import ModbusDevice, Register

# The meter in the cellar
Cellar = ModbusDevice(
    model="Cellar meter",
    registers_map=[
        Register("current_a", 3000, 2, MBClient.DATATYPE.FLOAT32),
        Register("voltage_a", 0xBD4, 2, MBClient.DATATYPE.FLOAT32),  # 3028
        Register(name='energy', index=3204, length=4,
                 data_type=MBClient.DATATYPE.UINT64),
    ],
    unit=10,
    index_shift=-1,
)
client = MBClient("192.168.0.1", port=5030, timeout=1)
reader = ModbusDeviceDataReader(client=client, byteorder=Endian.BIG, wordorder=Endian.LITTLE, message_size=60, device=Cellar)
"#;

#[test]
fn the_usual_map_is_understood_whole() {
    let found = read(USUAL);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    let [device] = found.devices.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (device.title.as_str(), device.variable.as_deref()),
        ("Cellar meter", Some("Cellar"))
    );
    let map = &device.map;
    assert_eq!(
        (map.unit_id, map.index_shift, map.message_size),
        (Some(10), -1, Some(60))
    );
    let rows: Vec<_> = map
        .entries
        .iter()
        .map(|e| (e.key.as_str(), e.at, e.words, e.ty, e.order))
        .collect();
    assert_eq!(
        rows,
        [
            ("current_a", 3000, 2, "f32", Order::Cdab),
            ("voltage_a", 3028, 2, "f32", Order::Cdab),
            ("energy", 3204, 4, "u64", Order::Cdab)
        ]
    );
    assert_eq!(device.lines, [9, 10, 11]);
}

#[test]
fn other_shapes_of_maps_are_the_same_map() {
    let shapes = [
        "METER_MAP = [{'name': 'u', 'address': 10, 'length': 2, 'type': 'FLOAT32'}, {'name': 'e', 'address': 0x0c, 'length': 4, 'type': 'UINT64'}]",
        "METER_MAP = [('u', 10, 2, 'FLOAT32'), [\"e\", 12, 4, DATATYPE.UINT64]]",
        "METER_MAP = {'u': (10, 2, 'FLOAT32'), 'e': (12, 4, 'UINT64')}",
        "METER_MAP = {'u': {'address': 10, 'type': 'FLOAT32'}, 'e': {'index': 12, 'data_type': 'UINT64', 'length': 4}}",
        "F = DT.FLOAT32\nMETER_MAP = [('u', 10, F), ('e', 12, 'uint64')]",
        "ROWS = [Register('u', 10, 2, D.FLOAT32), Register('e', 12, 4, D.UINT64)]\nMETER_MAP = ModbusDevice('METER_MAP', ROWS)",
    ];
    let first = read(shapes[0]).devices.remove(0).map;
    assert_eq!(first.entries.len(), 2);
    for source in shapes {
        let found = read(source);
        assert!(found.notes.is_empty(), "{source}: {:?}", found.notes);
        assert_eq!(found.devices[0].map, first, "{source}");
    }
}

#[test]
fn what_is_not_understood_is_told_with_its_line_and_costs_only_itself() {
    let found = read(
        "M = ModbusDevice(model='x', registers_map=[\n  Register('a', 1, 2, D.UINT64),\n  Register('b', BASE + 4, 2, D.INT32),\n  \
             Register('c', 9, 1, D.INT16),\n  Register('d', 9, 1, D.INT16),\n  make('e'),\n  *others,\n  Register(f'{n}', 20, 1, D.INT16),\n  \
             Register('g', 30, 1, D.STRING),\n])\nR = [Register(n, n, 1, D.INT16) for n in names]\n",
    );
    let lines: Vec<usize> = found.notes.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 3, 5, 6, 7, 8, 9], "{:?}", found.notes);
    assert_eq!(found.devices[0].map.entries.len(), 1);
    assert!(
        found
            .notes
            .iter()
            .any(|(line, what)| *line == 2 && what.contains("not 2"))
    );
}

#[test]
fn hostile_files_end_in_notes() {
    let deep = format!("x = {}", "[".repeat(50_000));
    let circle = "a = b\nb = a\nModbusDevice(registers_map=a)".to_owned();
    let many = format!(
        "x = ModbusDevice(registers_map=[{}])",
        "Register(1,2,3,4),".repeat(20_000)
    );
    for source in [deep, circle, many, "\0\u{202e}'".repeat(1000)] {
        let found = read(&source);
        assert!(found.devices.is_empty() && found.notes.len() <= MAX_NOTES);
    }
}

#[test]
fn what_many_share_is_not_multiplied() {
    let registers = "Register('a', 1, 1, D.INT16),".repeat(10);
    let devices = "ModbusDevice('m', L)\n".repeat(5_000);
    let found = read(&format!("L = [{registers}]\n{devices}"));
    assert_eq!(found.devices.len(), MAX_DEVICES);
    let (_, said) = found.notes.iter().next_back().unwrap();
    assert!(said.contains("only the first"), "{said}");

    let long = "x".repeat(500_000);
    let registers = "Register(N, 1, 1, D.INT16, unit=N),".repeat(10_000);
    let found = read(&format!("N = '{long}'\nModbusDevice('m', [{registers}])"));
    assert!(found.devices.is_empty());
    assert!(found.notes.iter().all(|(_, what)| what.len() < 200));
}

#[test]
fn parts_in_another_order_are_told_with_the_expected_one() {
    let found = read("M = [\n('a', 1, 2, 'FLOAT32'),\n(3, 'b', 'FLOAT32', 2),\n('c', 'INT16', 1),\n]");
    let notes: Vec<_> = found
        .notes
        .iter()
        .map(|(line, what)| (*line, what.as_str()))
        .collect();
    assert_eq!(
        notes,
        [
            (
                3,
                "the parts are in another order: expected (name, address, length, type)"
            ),
            (
                4,
                "the parts are in another order: expected (name, address, type)"
            )
        ]
    );
}

#[test]
fn address_and_unit_beside_a_map_are_taken_over() {
    let found = read("HOST = '10.0.0.7'\nPORT = 1502\nUNIT = 9\nM = [('a', 1, 2, 'FLOAT32')]");
    assert_eq!(found.address.as_deref(), Some("10.0.0.7:1502"));
    assert_eq!(found.devices[0].map.unit_id, Some(9));
    let own = read("UNIT = 9\nM = ModbusDevice('m', [('a', 1, 2, 'FLOAT32')], unit=4)");
    assert_eq!(own.devices[0].map.unit_id, Some(4));
}
