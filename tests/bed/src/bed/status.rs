//! Status of a bed.

use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use super::{Bed, BedName};
use crate::cache::Cache;
use crate::{Addresses, namespace};

/// Status of a bed at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The bed's name.
    pub name: BedName,
    /// Whether all of it runs.
    pub up: bool,
    /// `https://...`, for its laptops only.
    pub api_server: Option<String>,
    /// Its namespaces, also without a running process.
    pub namespaces: Vec<String>,
    /// Its processes.
    pub parts: Vec<Part>,
}

/// One process of a bed.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// The machine that it is part of.
    pub machine: String,
    /// Its name.
    pub name: String,
    /// Its process id on the host.
    pub pid: i32,
    /// Whether it still runs.
    pub running: bool,
    /// Its log file.
    pub log: PathBuf,
}

impl Bed {
    /// Returns the status of the bed `name`.
    pub fn status(name: &BedName) -> Result<Status> {
        let bed = Self::load(&Cache::of_user()?, name).ok();
        Ok(Status {
            name: name.clone(),
            up: bed.as_ref().is_some_and(Self::runs),
            api_server: bed
                .as_ref()
                .map(|bed| bed.addresses().map(Addresses::api_server))
                .transpose()?,
            namespaces: namespace::all(&name.prefix())?,
            parts: bed.iter().flat_map(Self::parts).collect(),
        })
    }

    fn parts(&self) -> Vec<Part> {
        let machines = std::iter::once((&self.node.machine, &self.node.daemons)).chain(
            self.laptops
                .iter()
                .map(|laptop| (&laptop.machine, &laptop.daemons)),
        );
        machines
            .flat_map(|(machine, daemons)| {
                daemons.iter().map(|daemon| Part {
                    machine: machine.name().to_owned(),
                    name: daemon.name.clone(),
                    pid: daemon.process.pid,
                    running: daemon.process.runs(),
                    log: daemon.log.clone(),
                })
            })
            .collect()
    }
}
