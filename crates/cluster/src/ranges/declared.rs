//! Ranges from the configuration of the cluster's own components.

use ipnet::IpNet;

/// Returns the ranges of a command-line flag: `--flag=range,range`.
pub(super) fn from_flag(words: &[String], flag: &str) -> Vec<IpNet> {
    let prefix = format!("{flag}=");
    words
        .iter()
        .filter_map(|word| word.strip_prefix(&prefix))
        .flat_map(from_list)
        .collect()
}

/// Returns the ranges of a key in kubeadm's ClusterConfiguration: `podSubnet: range,range`. A search by line is enough:
/// the two keys occur once, under `networking`.
pub(super) fn from_kubeadm(configuration: &str, key: &str) -> Vec<IpNet> {
    configuration
        .lines()
        .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'))
        .flat_map(|value| from_list(value.trim().trim_matches(['"', '\''])))
        .collect()
}

/// Parses ranges separated by commas, and leaves out invalid ones.
pub(super) fn from_list(list: &str) -> Vec<IpNet> {
    list.split(',')
        .filter_map(|range| range.trim().parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &[&str]) -> Vec<IpNet> {
        text.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_flag_of_a_control_plane_pod_gives_its_ranges() {
        let words = [
            "kube-apiserver",
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",
            "--v=2",
        ];
        let words = words.map(str::to_owned);
        assert_eq!(
            from_flag(&words, "--service-cluster-ip-range"),
            ranges(&["10.96.0.0/16", "fd00:96::/112"])
        );
        assert_eq!(from_flag(&words, "--cluster-cidr"), []);
    }

    #[test]
    fn kubeadms_configuration_gives_both_ranges() {
        let text = "apiVersion: kubeadm.k8s.io/v1beta4\nnetworking:\n  dnsDomain: cluster.local\n  podSubnet: 10.244.0.0/16\n  serviceSubnet: \"10.96.0.0/12\"\n";
        assert_eq!(from_kubeadm(text, "podSubnet"), ranges(&["10.244.0.0/16"]));
        assert_eq!(from_kubeadm(text, "serviceSubnet"), ranges(&["10.96.0.0/12"]));
    }

    #[test]
    fn nonsense_gives_nothing() {
        assert_eq!(from_list("default, 10.0.0.0/33, 10.0.0.1"), []);
        assert_eq!(from_kubeadm("podSubnet\n: 10.0.0.0/8", "podSubnet"), []);
    }
}
