//! One owner task for each Modbus endpoint.
