//! Versions in Cargo.lock on which the tray depends.

use std::fs;
use std::path::Path;

/// A feature of the `tray-icon` that Tauri uses chooses the back end. A second version in the lock file would get the
/// feature, and Tauri's own would use libappindicator without notice.
#[test]
fn there_is_one_tray_icon_and_it_is_tauris() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap();
    let packages: Vec<_> = lock.split("[[package]]").collect();
    let named = |name: &str| -> Vec<_> {
        packages
            .iter()
            .filter(|package| package.contains(&format!("\nname = \"{name}\"\n")))
            .collect()
    };
    assert_eq!(named("tray-icon").len(), 1);
    assert!(
        named("tray-icon")[0].contains("\"ksni\""),
        "tray-icon is built without its ksni back end"
    );
    assert!(named("tauri")[0].contains("\"tray-icon\""));
}
