//! Whether the database here and a server's can be kept in step, in words.
//!
//! Where in the flow: beside sync, for `status` and the doctor, once the server has answered. Never judges by itself: it
//! asks what the handshake asks, so that a sync can't end otherwise.

use greenlight_core::compatibility::{self, Identity};
use greenlight_core::protocol::{Refuse, RefuseCode};
use greenlight_core::status::Reason;

/// Why they can't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// What `sync now` would say; in one line, since parts of it come from elsewhere.
    pub(crate) why: String,
    /// What helps.
    pub(crate) remedy: &'static str,
}

/// What keeps them apart; `None` where nothing does.
pub(crate) fn find(client: &Identity, server: &Identity) -> Option<Misfit> {
    let refuse = compatibility::check(client, server).err()?;
    let why = match Reason::incompatible(refuse.code) {
        Some(reason) => reason.explained(&refuse),
        None => refuse.sentence.clone(),
    };
    Some(Misfit { why: why.replace(char::is_control, " "), remedy: remedy(&refuse) })
}

fn remedy(refuse: &Refuse) -> &'static str {
    match refuse.code {
        RefuseCode::SchemaOlder => {
            "sync with the newer schema (`greenlight sync now --schema FILE`); what is written here is kept"
        }
        RefuseCode::SchemaNewer => {
            "ask whoever keeps the server to give it the newer schema; what is written here is kept"
        }
        RefuseCode::SchemaDiffers => {
            "see that the address names the right database, and that both sides have the same schema file; a schema that \
             is changed needs a higher number"
        }
        _ => {
            "see that the address names the right database. Where the server's was made anew, move the one here away and \
             sync with --schema: what was never sent is in the old one"
        }
    }
}

/// What is to be said of two schemas that are not the same and can be kept in step all the same.
pub(crate) fn difference(client: &Identity, server: &Identity) -> Option<String> {
    let (here, there) = (&client.schema, &server.schema);
    if here == there {
        return None;
    }
    let names = format!(
        "the schema here is `{} {}`, and the server's `{} {}`",
        here.name, here.number, there.name, there.number
    );
    let fits = match server.shape {
        Some(_) => "has all that the one here has, so that both can be kept in step",
        None => "must have all that the one here has, which this server does not tell: a sync finds out",
    };
    Some(format!("{names}, which {fits}").replace(char::is_control, " "))
}
