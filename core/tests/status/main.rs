//! The light: every combination of facts, judged by rules written down apart from the code.
//!
//! Where in the flow: against `greenlight_core::status`, which turns facts and the time into a state and a reason.

mod combinations;
mod documentation;
mod forms;
mod rules;
mod time;
