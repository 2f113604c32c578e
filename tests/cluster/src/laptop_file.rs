//! Files of a test on a laptop.

use serde_json::Value;

use crate::Desk;

/// A file on the laptop, removed when this is dropped.
pub struct LaptopFile<'a> {
    desk: &'a Desk<'a>,
    /// Its path.
    pub path: String,
}

impl<'a> LaptopFile<'a> {
    /// Writes a file; `name` distinguishes it from others on the laptop.
    pub fn new(desk: &'a Desk<'a>, name: &str, content: &str) -> LaptopFile<'a> {
        LaptopFile::at(desk, &format!("/tmp/slipway-test-{name}"), content)
    }

    /// Writes a file that is not there yet.
    pub fn at(desk: &'a Desk<'a>, path: &str, content: &str) -> LaptopFile<'a> {
        desk.laptop.write(path, content).unwrap();
        LaptopFile {
            desk,
            path: path.to_owned(),
        }
    }

    /// Writes a changed copy of the developer's kubeconfig.
    pub fn kubeconfig(desk: &'a Desk<'a>, change: impl FnOnce(&mut Value)) -> LaptopFile<'a> {
        LaptopFile::kubeconfig_of(desk, "developer", change)
    }

    /// Writes a changed copy of a kubeconfig of the bed.
    pub fn kubeconfig_of(desk: &'a Desk<'a>, user: &str, change: impl FnOnce(&mut Value)) -> LaptopFile<'a> {
        let text = std::fs::read_to_string(desk.bed.kubeconfig(user)).unwrap();
        let mut config = serde_json::from_str(&text).unwrap();
        change(&mut config);
        LaptopFile::new(desk, "kubeconfig", &config.to_string())
    }
}

impl Drop for LaptopFile<'_> {
    fn drop(&mut self) {
        let _ = self.desk.as_root("rm", &["-f", &self.path]);
    }
}
