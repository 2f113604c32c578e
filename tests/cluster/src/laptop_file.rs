//! Files on a laptop that only one test has.

use serde_json::Value;

use crate::Desk;

/// A file on the laptop, removed with this.
pub struct LaptopFile<'a> {
    desk: &'a Desk<'a>,
    /// Where it is.
    pub path: String,
}

impl<'a> LaptopFile<'a> {
    /// Written; `name` tells it from others of the laptop's.
    pub fn new(desk: &'a Desk<'a>, name: &str, content: &str) -> LaptopFile<'a> {
        let path = format!("/tmp/slipway-test-{name}");
        desk.laptop.write(&path, content).unwrap();
        LaptopFile { desk, path }
    }

    /// The developer's kubeconfig, changed.
    pub fn kubeconfig(desk: &'a Desk<'a>, change: impl FnOnce(&mut Value)) -> LaptopFile<'a> {
        LaptopFile::kubeconfig_of(desk, "developer", change)
    }

    /// A kubeconfig of the bed, changed.
    pub fn kubeconfig_of(desk: &'a Desk<'a>, user: &str, change: impl FnOnce(&mut Value)) -> LaptopFile<'a> {
        let text = std::fs::read_to_string(desk.bed.kubeconfig(user)).unwrap();
        let mut config = serde_json::from_str(&text).unwrap();
        change(&mut config);
        LaptopFile::new(desk, "kubeconfig", &config.to_string())
    }
}

impl Drop for LaptopFile<'_> {
    fn drop(&mut self) {
        let _gone = self.desk.as_root("rm", &["-f", &self.path]);
    }
}
