//! Why the light shows what it shows: the codes, their sentences and their remedies.
//!
//! Where in the flow: chosen by `judge`. Codes are stable: apps translate by them.

use serde::Serialize;

use crate::protocol::{Refuse, RefuseCode};

/// What a person can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Nothing is needed.
    None,
    /// It heals by itself.
    Wait,
    /// Go on after a pause.
    Resume,
    /// Try again now.
    Retry,
    /// Sign in again.
    SignIn,
    /// Reload the page.
    Reload,
    /// Get the newer app.
    UpdateApp,
    /// Free space on this device.
    FreeSpace,
    /// Tell whoever runs the server.
    AskOperator,
    /// Save what is only here, drop the local database, download again.
    NukeAndResync,
    /// Look at what could not be applied.
    ReviewQuarantine,
}

/// A stable code of why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Everything is on both sides.
    Synced,
    /// Changes are on their way.
    Sending,
    /// There is no connection.
    Offline,
    /// Sync was paused by hand.
    Paused,
    /// The local database is being opened.
    Opening,
    /// A connection is being made.
    Dialling,
    /// Waiting for the server's welcome.
    Handshaking,
    /// The first exchange on this connection is under way.
    Exchanging,
    /// What the server has is being fetched.
    CatchingUp,
    /// The server does not answer pings.
    NoEcho,
    /// Another process holds the server's database.
    ServerBusy,
    /// The connection closes again and again as soon as it opens.
    ClosesEarly,
    /// The server takes the connection but says nothing.
    NoWelcome,
    /// Changes are sent but not acknowledged.
    NoAcknowledgement,
    /// The token is missing, wrong or expired.
    Unauthorized,
    /// The token does not allow this.
    Forbidden,
    /// The server has no such database.
    UnknownDatabase,
    /// The server can't open its database.
    ServerUnavailable,
    /// The server's disk is full or read-only, or its writer fails.
    ServerStorage,
    /// This device's storage is full.
    StorageFull,
    /// The local database failed.
    LocalStorage,
    /// Incoming changes could not be applied.
    Quarantined,
    /// Rows here differ from the server's, and repairs did not help.
    Diverged,
    /// The server's schema is newer, and not only by additions.
    SchemaOlder,
    /// The server's schema is older.
    SchemaNewer,
    /// The server's schema is another one.
    SchemaDiffers,
    /// The server's database was rebuilt or reset.
    Lineage,
    /// Client and server share no protocol version.
    Protocol,
}

impl Reason {
    /// Every reason; documentation and tests walk it.
    pub const ALL: [Self; 28] = [
        Self::Synced,
        Self::Sending,
        Self::Offline,
        Self::Paused,
        Self::Opening,
        Self::Dialling,
        Self::Handshaking,
        Self::Exchanging,
        Self::CatchingUp,
        Self::NoEcho,
        Self::ServerBusy,
        Self::ClosesEarly,
        Self::NoWelcome,
        Self::NoAcknowledgement,
        Self::Unauthorized,
        Self::Forbidden,
        Self::UnknownDatabase,
        Self::ServerUnavailable,
        Self::ServerStorage,
        Self::StorageFull,
        Self::LocalStorage,
        Self::Quarantined,
        Self::Diverged,
        Self::SchemaOlder,
        Self::SchemaNewer,
        Self::SchemaDiffers,
        Self::Lineage,
        Self::Protocol,
    ];

    /// The reason that stands for a refusal which says that two databases can't be kept in step.
    pub fn incompatible(refused: RefuseCode) -> Option<Self> {
        match refused {
            RefuseCode::Protocol => Some(Self::Protocol),
            RefuseCode::SchemaOlder => Some(Self::SchemaOlder),
            RefuseCode::SchemaNewer => Some(Self::SchemaNewer),
            RefuseCode::SchemaDiffers => Some(Self::SchemaDiffers),
            RefuseCode::Lineage => Some(Self::Lineage),
            RefuseCode::Unauthorized
            | RefuseCode::Forbidden
            | RefuseCode::UnknownDatabase
            | RefuseCode::Superseded
            | RefuseCode::Unavailable => None,
        }
    }

    /// The sentence for a person, with what the refusal says.
    pub fn explained(self, refuse: &Refuse) -> String {
        let (sentence, detail) = (self.sentence().trim_end_matches('.'), refuse.sentence.trim_end_matches('.'));
        format!("{sentence}: {detail}.")
    }

    /// The sentence for a person, without details.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Synced => "Everything is saved on the server, and everything on the server is here.",
            Self::Sending => "Your changes are on their way to the server.",
            Self::Offline => "There is no connection to the server. Your changes are kept here and sent later.",
            Self::Paused => "Sync is paused. Your changes are kept here until you resume.",
            Self::Opening => "The local database is being opened.",
            Self::Dialling => "Connecting to the server.",
            Self::Handshaking => "Waiting for the server's answer.",
            Self::Exchanging => "Comparing with the server.",
            Self::CatchingUp => "Fetching what is new on the server.",
            Self::NoEcho => "The server has stopped answering. Waiting for it.",
            Self::ServerBusy => "The server's database is busy. Waiting for it.",
            Self::ClosesEarly => "The server closes the connection again and again.",
            Self::NoWelcome => "The server takes the connection but does not answer.",
            Self::NoAcknowledgement => "Your changes were sent, but the server has not confirmed that they are saved.",
            Self::Unauthorized => "Your sign-in is missing or has expired. Sign in again; nothing is lost.",
            Self::Forbidden => "Your account may not do this. Your changes are kept here.",
            Self::UnknownDatabase => "The server does not have this database.",
            Self::ServerUnavailable => "The server can't open this database.",
            Self::ServerStorage => "The server can't save at the moment. Your changes are kept here.",
            Self::StorageFull => "This device's storage is full. Free some space to go on.",
            Self::LocalStorage => "The database on this device reported an error.",
            Self::Quarantined => "Some incoming changes could not be applied and were set aside.",
            Self::Diverged => "Some rows here differ from the server's, and mending them did not help.",
            Self::SchemaOlder => "This app is older than the server's data. Update the app; your changes are kept.",
            Self::SchemaNewer => "The server's data is older than this app. Your changes are kept until it is updated.",
            Self::SchemaDiffers => "The server's data has another structure than this app's.",
            Self::Lineage => "The server's database was rebuilt and is not the one that this device followed.",
            Self::Protocol => "This app and the server speak different versions of the sync protocol.",
        }
    }

    /// What a person can do.
    pub fn remedy(self) -> Remedy {
        match self {
            Self::Synced | Self::Sending => Remedy::None,
            Self::Opening
            | Self::Dialling
            | Self::Handshaking
            | Self::Exchanging
            | Self::CatchingUp
            | Self::NoEcho
            | Self::ServerBusy => Remedy::Wait,
            Self::Offline | Self::ClosesEarly | Self::NoWelcome | Self::NoAcknowledgement => Remedy::Retry,
            Self::Paused => Remedy::Resume,
            Self::Unauthorized => Remedy::SignIn,
            Self::Forbidden
            | Self::UnknownDatabase
            | Self::ServerUnavailable
            | Self::ServerStorage
            | Self::SchemaNewer => Remedy::AskOperator,
            Self::StorageFull => Remedy::FreeSpace,
            Self::LocalStorage => Remedy::Reload,
            Self::Quarantined => Remedy::ReviewQuarantine,
            Self::SchemaOlder | Self::Protocol => Remedy::UpdateApp,
            Self::Diverged | Self::SchemaDiffers | Self::Lineage => Remedy::NukeAndResync,
        }
    }
}
