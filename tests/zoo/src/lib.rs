//! The device zoo: simulated devices and wires that misbehave on demand, for Busbar's tests.
