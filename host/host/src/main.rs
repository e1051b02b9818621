//! The program `busbar`.
fn main() {}
