//! The schema files of a server, read and checked once.
//!
//! Where in the flow: at the start. Never read again while the server runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::FolderError;
use crate::database::Schema;
use crate::limits::SCHEMA_FILE_BYTES;

/// Every schema of a folder, by its file's name without `.sql`.
pub(super) fn read(folder: &Path) -> Result<BTreeMap<String, Arc<Schema>>, FolderError> {
    let mut schemas = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(FolderError::Schemas)? {
        let path = entry.map_err(FolderError::Schemas)?.path();
        if path.extension().is_none_or(|extension| extension != "sql") || !path.is_file() {
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let schema = read_schema(&path).map_err(|why| FolderError::Schema { file, why })?;
        schemas.insert(stem, Arc::new(schema));
    }
    Ok(schemas)
}

fn read_schema(path: &Path) -> Result<Schema, String> {
    let length = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if length > SCHEMA_FILE_BYTES {
        return Err(format!("it is larger than {SCHEMA_FILE_BYTES} bytes"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    Schema::parse(&text).map_err(|error| error.to_string())
}
