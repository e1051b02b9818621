//! What may be written, as Home Assistant offers it.

use busbar_ledger::write::Kind;

use super::*;

const SETPOINT: &str = "[points.setpoint]\nat = 0\ntype = \"i16\"\nunit = \"W\"\nclass = \"power\"\naccess = \"rw\"\n\
                        label = \"Grid setpoint\"\nwrite = { min = -1000, max = 1000, storage = \"volatile\", source = \"s\" }";

fn writable(kind: Kind) -> Writable {
    Writable {
        device: "dev".to_owned(),
        key: "setpoint".to_owned(),
        kind,
        range: None,
        step: None,
        choices: Vec::new(),
        no_limit: None,
        max_bytes: None,
        risky: false,
    }
}

fn told(writable: Writable) -> BTreeMap<String, Component> {
    let device = device(of_points(SETPOINT), Status::Present);
    super::told(&device, &[writable]).components
}

#[test]
fn a_number_has_its_effective_limits_and_a_sensor_beside_it() {
    let told = told(Writable {
        range: Some((-500.0, 800.0)),
        step: Some(10.0),
        no_limit: Some(-32768.0),
        choices: vec![(9999.0, "Idle".to_owned())],
        ..writable(Kind::Number)
    });
    let keys: Vec<&str> = told.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "last-write",
            "setpoint",
            "setpoint-choice-1",
            "setpoint-no-limit",
            "setpoint-set"
        ]
    );
    let number = Value::Object(told["setpoint-set"].clone());
    assert_eq!(
        number,
        json!({ "p": "number", "unique_id": "dev_setpoint-set", "name": "Grid setpoint", "min": -500.0, "max": 800.0,
                "step": 10.0, "mode": "box", "unit_of_measurement": "W", "device_class": "power",
                "command_topic": "busbar/dev/setpoint/set",
                "value_template": "{{ value_json.setpoint if value_json is mapping and value_json.setpoint is number and -500 <= value_json.setpoint \
                                   <= 800 else None }}" })
    );
    assert_eq!(told["setpoint"]["p"], "sensor");
    assert_eq!(told["setpoint-no-limit"]["payload_press"], "-32768");
    assert_eq!(told["setpoint-choice-1"]["name"], "Grid setpoint: Idle");
}

#[test]
fn switches_say_on_and_off_and_are_understood() {
    let told = told(Writable {
        choices: vec![(0.0, "0".to_owned()), (1.0, "1".to_owned())],
        ..writable(Kind::Switch)
    });
    let switch = &told["setpoint-set"];
    assert_eq!(switch["p"], "switch");
    assert_eq!([&switch["payload_on"], &switch["payload_off"]], ["ON", "OFF"]);
    assert_eq!(
        switch["value_template"],
        "{{ {0.0:'OFF',1.0:'ON'}.get(value_json.setpoint) if value_json is mapping else None }}"
    );
}

#[test]
fn a_setting_that_is_more_than_off_and_on_is_chosen_by_name() {
    let platform = |off: &str, on: &str| {
        let labels =
            format!("class = \"enum\"\nlabels = {{ 0 = \"{off}\", 1 = \"{on}\" }}\naccess = \"rw\"\n");
        let points = SETPOINT.replace("unit = \"W\"\nclass = \"power\"\naccess = \"rw\"\n", &labels);
        let points = points.replace("min = -1000, max = 1000", "choices = [0, 1]");
        let device = device(of_points(&points), Status::Present);
        let switch = Writable {
            choices: vec![(0.0, off.to_owned()), (1.0, on.to_owned())],
            ..writable(Kind::Switch)
        };
        let told = super::told(&device, &[switch]);
        told.components["setpoint-set"]["p"].clone()
    };
    assert_eq!(platform("Disabled", "Enabled"), "switch");
    assert_eq!(platform("Feed in", "Don't feed in"), "select");
}

#[test]
fn a_select_offers_names_and_sends_numbers() {
    let told = told(Writable {
        choices: vec![
            (1.0, "Low".to_owned()),
            (2.0, "None".to_owned()),
            (3.0, "Low".to_owned()),
        ],
        ..writable(Kind::Select)
    });
    let select = &told["setpoint-set"];
    assert_eq!(select["options"], json!(["Low (1)", "(None)", "Low (3)"]));
    assert_eq!(
        select["command_template"],
        "{{ {'Low (1)':1,'(None)':2,'Low (3)':3}.get(value, value) }}"
    );
}

#[test]
fn buttons_and_texts() {
    let button = told(Writable {
        choices: vec![(2.0, "2".to_owned())],
        ..writable(Kind::Button)
    });
    assert_eq!(button["setpoint-set"]["p"], "button");
    assert_eq!(button["setpoint-set"]["payload_press"], "2");
    let text = told(Writable {
        max_bytes: Some(32),
        ..writable(Kind::Text)
    });
    assert_eq!(text["setpoint-set"]["p"], "text");
    assert_eq!(text["setpoint-set"]["max"], 32);
}

#[test]
fn what_asks_twice_has_a_button_to_confirm() {
    let told = told(Writable {
        range: Some((0.0, 1.0)),
        risky: true,
        ..writable(Kind::Number)
    });
    let confirm = &told["setpoint-confirm"];
    assert_eq!(confirm["name"], "Confirm grid setpoint");
    assert_eq!(confirm["command_topic"], "busbar/dev/setpoint/confirm");
    assert_eq!(told["last-write"]["state_topic"], "busbar/dev/+/result");
    let outcomes = told["last-write"]["value_template"].as_str().unwrap();
    for outcome in [
        "applied", "clamped", "rejected", "unknown", "reverted", "refused", "dry_run", "confirm",
    ] {
        assert!(outcomes.contains(&format!("'{outcome}':")), "{outcome}");
    }
}

#[test]
fn without_an_opted_in_entity_there_is_nothing_to_set() {
    let device = device(of_points(SETPOINT), Status::Present);
    let told = super::told(&device, &[]).components;
    assert_eq!(told.keys().collect::<Vec<_>>(), ["setpoint"]);
}
