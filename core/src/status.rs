//! placeholder
use serde::Serialize;
/// The six states of the light.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusState {
    /// No connection, or paused.
    Disconnected,
    /// Dialling, shaking hands, or behind.
    Connecting,
    /// Fresh both ways and nothing pending.
    Synced,
    /// Fresh both ways and changes on their way.
    Syncing,
    /// No progress; see the reason.
    Stuck,
    /// Can't be reconciled; see the reason.
    Incompatible,
}

impl StatusState {
    const ALL: [Self; 6] =
        [Self::Disconnected, Self::Connecting, Self::Synced, Self::Syncing, Self::Stuck, Self::Incompatible];

    /// The number on the wire.
    pub fn number(self) -> u8 {
        Self::ALL.iter().position(|&state| state == self).map_or(0, |index| index as u8)
    }

    /// The state of a number on the wire.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}
/// Status.
#[derive(Clone, Debug)]
pub struct Status {}
