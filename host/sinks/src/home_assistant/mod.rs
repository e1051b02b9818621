//! Home Assistant, told by its MQTT discovery: one device for each of Busbar's, behind its gateway, with everything that
//! may be written. The states themselves are those of the MQTT sink.

pub mod encode;
