//! The conversation, step by step, with a world that only tells what would come of the work.

mod advanced;
mod first;
mod later;
mod world;
