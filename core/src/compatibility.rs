//! Whether a client's database and a server's can be kept in step.
//!
//! Where in the flow: between hello and welcome, and asked by whoever wants to know beforehand how a hello would end.
//! Pure; names what differs in a sentence for a person.

use crate::position::SiteId;
use crate::protocol::{Hello, Refuse, RefuseCode};
use crate::replica::ServerFacts;
use crate::schema::{SchemaId, SchemaShape};

/// What a database is, as far as two of them have to agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The server's site: a server's own, or the one that a client follows; `None` before its first sync.
    pub server: Option<SiteId>,
    /// The schema's name, number and digest.
    pub schema: SchemaId,
    /// The schema's shape; `None` where it is not known, and then only what the rest says is checked.
    pub shape: Option<SchemaShape>,
}

impl From<&Hello> for Identity {
    fn from(hello: &Hello) -> Self {
        let server = hello.lineage.map(|lineage| lineage.site_id);
        Self { server, schema: hello.schema.clone(), shape: Some(hello.shape.clone()) }
    }
}

impl From<&ServerFacts> for Identity {
    fn from(facts: &ServerFacts) -> Self {
        let server = Some(facts.lineage.site_id);
        Self { server, schema: facts.schema.clone(), shape: Some(facts.shape.clone()) }
    }
}

/// Checks lineage and schema.
///
/// A client whose schema lacks what the server has is welcome: it holds aside what it can't place. A client that
/// has what the server lacks is not, since its changes would have no place there.
///
/// # Errors
/// The refusal, with one of the codes that [`RefuseCode::is_incompatible`] knows.
pub fn check(client: &Identity, server: &Identity) -> Result<(), Refuse> {
    let refuse = |code, sentence| Err(Refuse { code, sentence });
    if client.server.is_some() && client.server != server.server {
        let sentence = "the server's database was rebuilt and is not the one that this client followed";
        return refuse(RefuseCode::Lineage, sentence.to_owned());
    }
    let (here, there) = (&server.schema, &client.schema);
    if here == there {
        return Ok(());
    }
    let names =
        format!("schema `{}` {} on the server, `{}` {} in the app", here.name, here.number, there.name, there.number);
    if here.name != there.name {
        return refuse(RefuseCode::SchemaDiffers, names);
    }
    let (lack, detail) = match (&server.shape, &client.shape) {
        (Some(ours), Some(theirs)) => compare(ours, theirs, &names),
        _ => (false, names),
    };
    if here.number == there.number {
        refuse(RefuseCode::SchemaDiffers, detail)
    } else if !lack {
        Ok(())
    } else if there.number < here.number {
        refuse(RefuseCode::SchemaOlder, detail)
    } else {
        refuse(RefuseCode::SchemaNewer, detail)
    }
}

/// Whether the server lacks what the client has, and the first thing that differs.
fn compare(server: &SchemaShape, client: &SchemaShape, names: &str) -> (bool, String) {
    if let Some(lack) = server.lacks_of(client) {
        return (true, format!("{names}: on the server {lack}"));
    }
    let detail = match client.lacks_of(server) {
        Some(lack) => format!("{names}: in the app {lack}"),
        None => format!("{names}: types, defaults or checks differ"),
    };
    (false, detail)
}
