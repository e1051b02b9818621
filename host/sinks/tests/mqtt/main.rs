//! The MQTT sink with a real mosquitto. What it publishes is heard by mosquitto_sub, what it is asked comes from
//! mosquitto_pub: nothing of the other side is Busbar's own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what cannot be set up fails the test, loudly"
)]

#[path = "../common/broker.rs"]
mod broker;
#[path = "../common/house.rs"]
mod house;

mod away;
mod commands;
mod home_assistant;
mod refused;
mod secrets;
mod sink;
mod states;
mod versions;
