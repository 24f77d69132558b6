//! The example configuration for the service is one that this server takes.
//!
//! Where in the flow: beside it; the other files of `deploy` are looked at by a script.

use std::path::Path;

use greenlight_server::settings::FileSettings;

#[test]
fn the_example_configuration_is_understood() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/greenlight.toml");
    let settings = FileSettings::read(&file).unwrap();
    assert_eq!(settings.data.as_deref(), Some(Path::new("/var/lib/greenlight")));
    assert_eq!((settings.backup_minutes, settings.backup_keep, settings.database.len()), (Some(360), Some(28), 1));
    // The unit names the same folders.
    let unit = std::fs::read_to_string(file.with_file_name("greenlight.service")).unwrap();
    assert!(
        unit.contains("StateDirectory=greenlight\n") && unit.contains("--config /etc/greenlight/greenlight.toml\n")
    );
}
