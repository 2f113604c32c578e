//! Resident memory of processes, as the kernel counts it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Returns the megabytes of a process that are in memory, including files that other processes map too.
///
/// # Errors
///
/// When the process does not exist.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("There is no process {pid}"))?;
    parse(&status).with_context(|| format!("Process {pid} has no memory"))
}

/// Parses `VmRSS:      4728 kB` of proc_pid_status(5).
fn parse(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0 / 1e6)
}

/// Returns the children of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|child| child.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Returns the processes of this program, by its path in their mount namespace, whose control group contains `group`.
pub(crate) fn running(program: &str, group: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == Path::new(program)))
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|path| path.contains(group))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_parsed_from_proc_status() {
        assert_eq!(parse("Name:\tx\nVmRSS:\t    1000 kB\n"), Some(1.024));
        assert_eq!(parse("Name:\tkthread\n"), None);
        assert!(resident(std::process::id()).unwrap() > 0.5);
    }
}
