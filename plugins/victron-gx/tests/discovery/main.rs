//! The discovery of a GX as a whole: conversations with simulated sites, with other devices, and with nonsense.

#[cfg(test)]
mod conversation;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod gx;
#[cfg(test)]
mod recall;
#[cfg(test)]
mod sites;
