//! Names of the laptop itself: its host name and the names of /etc/hosts. The cluster never answers them.

use std::fs;

use slipway_names::Name;

/// Maximum number of names of /etc/hosts, those with the fewest labels first. Lists against advertising have hundreds
/// of thousands, and the laptop's name servers answer their domains anyway.
const MOST: usize = 4096;

/// Reads the laptop's host name and the names of /etc/hosts. Ignores files that cannot be read, because the C library
/// looks into /etc/hosts before it asks a name server.
#[must_use]
pub fn laptop_names() -> Vec<Name> {
    let host_name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    names(&host_name, &hosts)
}

fn names(host_name: &str, hosts: &str) -> Vec<Name> {
    let short = host_name.split('.').next().unwrap_or_default();
    let own = [host_name.trim(), short.trim()];
    let listed = hosts.lines().flat_map(|line| {
        let entry = line.split('#').next().unwrap_or_default();
        entry.split_ascii_whitespace().skip(1)
    });
    let mut names: Vec<Name> = own
        .into_iter()
        .chain(listed)
        .filter_map(|name| name.parse().ok())
        .filter(|name: &Name| name.label_count() > 0)
        .collect();
    names.sort_by(|a, b| (a.label_count(), a).cmp(&(b.label_count(), b)));
    names.dedup();
    names.truncate(MOST);
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_laptops_own_names_and_those_of_its_hosts_are_read() {
        let hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost\n\n# 10.0.0.9 old\n\
                     192.168.1.1\trouter.home router # the gateway\n10.0.0.1\n";
        let found: Vec<String> = names("thinkpad.lan\n", hosts)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "router",
                "thinkpad",
                "localhost",
                "ip6-localhost",
                "router.home",
                "thinkpad.lan"
            ]
        );
        assert_eq!(names("", ""), []);
    }

    #[test]
    fn short_names_of_a_long_list_are_kept() {
        let hosts: String = (0..10_000)
            .map(|n| format!("0.0.0.0 ads{n}.example.com\n"))
            .collect();
        let found = names("laptop", &format!("{hosts}10.0.0.1 printer\n"));
        assert_eq!(found.len(), MOST);
        assert!(found.contains(&"printer".parse().unwrap()));
    }
}
