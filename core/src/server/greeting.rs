//! Whether a client's hello fits a database.
//!
//! Where in the flow: between hello and welcome. Pure; names what differs in a sentence for a person.

use super::Greeting;
use crate::protocol::{Hello, Refuse, RefuseCode};

/// Checks lineage and schema.
///
/// A client whose schema lacks what the server has is welcome: it holds aside what it can't place. A client that
/// has what the server lacks is not, since its changes would have no place here.
pub(super) fn check(hello: &Hello, greeting: &Greeting) -> Result<(), Refuse> {
    let refuse = |code, sentence| Err(Refuse { code, sentence });
    let facts = &greeting.facts;
    if hello.lineage.is_some_and(|lineage| lineage.site_id != facts.lineage.site_id) {
        let sentence = "the server's database was rebuilt and is not the one that this client followed";
        return refuse(RefuseCode::Lineage, sentence.to_owned());
    }
    let (here, there) = (&facts.schema, &hello.schema);
    if here == there {
        return Ok(());
    }
    let names =
        format!("schema `{}` {} on the server, `{}` {} in the app", here.name, here.number, there.name, there.number);
    if here.name != there.name {
        return refuse(RefuseCode::SchemaDiffers, names);
    }
    let lack = facts.shape.lacks_of(&hello.shape);
    let detail = match &lack {
        Some(lack) => format!("{names}: on the server {lack}"),
        None => match hello.shape.lacks_of(&facts.shape) {
            Some(lack) => format!("{names}: in the app {lack}"),
            None => format!("{names}: types, defaults or checks differ"),
        },
    };
    if here.number == there.number {
        refuse(RefuseCode::SchemaDiffers, detail)
    } else if lack.is_none() {
        Ok(())
    } else if there.number < here.number {
        refuse(RefuseCode::SchemaOlder, detail)
    } else {
        refuse(RefuseCode::SchemaNewer, detail)
    }
}
