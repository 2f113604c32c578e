//! Problem of an agent that reaches nothing, with what stands behind it as far as the user may read that.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use slipway_api_server::request::ApiError;
use slipway_cluster::obstacles::{DNS_NAMESPACE, DNS_SELECTOR, DnsPods};
use slipway_cluster::placement::AgentPod;
use slipway_names::Name;
use slipway_problem::{Action, Fault};
use tokio::time::timeout;

use super::verdict::Verdict;
use crate::cluster::Obstacles;

/// Limit of reading what stands behind a verdict.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// Something that a user may not be allowed to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    /// It was read.
    Known(T),
    /// It could not be read, for this reason.
    Unknown(String),
}

/// Problem of an agent that reaches nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CheckFailed {
    /// The cluster's DNS does not answer.
    DnsSilent { pods: Read<DnsPods>, service: Name },
    /// The agent's traffic does not leave its pod, or does not return.
    Blocked {
        to: SocketAddr,
        /// Whether the cluster's DNS answered.
        dns: bool,
        policies: Read<Vec<String>>,
        namespace: String,
    },
    /// The cluster's DNS answers for another domain.
    OtherDomain { service: Name, domain: Name },
}

/// Turns a verdict about an agent into a problem.
pub(super) async fn with_reason(
    verdict: Verdict,
    cluster: &impl Obstacles,
    agent: &AgentPod,
    service: &Name,
    domain: &Name,
) -> CheckFailed {
    let service = service.clone();
    match verdict {
        Verdict::Blocked { to, dns: false } => {
            let (pods, policies) =
                tokio::join!(read(cluster.dns_pods()), read(cluster.egress_policies(agent)));
            // Without a pod of DNS, the address that was tried may be the wrong one, because it was a guess.
            match pods {
                Read::Known(DnsPods { ready: 0, .. }) => CheckFailed::DnsSilent { pods, service },
                Read::Known(_) | Read::Unknown(_) => blocked(to, false, policies, agent),
            }
        }
        Verdict::Blocked { to, dns: true } => {
            blocked(to, true, read(cluster.egress_policies(agent)).await, agent)
        }
        Verdict::OtherDomain => CheckFailed::OtherDomain {
            service,
            domain: domain.clone(),
        },
        Verdict::DnsSilent | Verdict::Fine => CheckFailed::DnsSilent {
            pods: read(cluster.dns_pods()).await,
            service,
        },
    }
}

fn blocked(to: SocketAddr, dns: bool, policies: Read<Vec<String>>, agent: &AgentPod) -> CheckFailed {
    CheckFailed::Blocked {
        to,
        dns,
        policies,
        namespace: agent.namespace.clone(),
    }
}

async fn read<T>(reading: impl Future<Output = Result<T, ApiError>>) -> Read<T> {
    match timeout(READ_WITHIN, reading).await {
        Ok(Ok(known)) => Read::Known(known),
        Ok(Err(error)) => Read::Unknown(error.to_string()),
        Err(_) => Read::Unknown("the API server did not answer".to_owned()),
    }
}

impl std::error::Error for CheckFailed {}

impl fmt::Display for CheckFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckFailed::DnsSilent { pods, service } => {
                write!(
                    f,
                    "the cluster's DNS does not answer for `{service}`, so no name of the cluster is found: "
                )?;
                match pods {
                    Read::Known(DnsPods { all: 0, .. }) => {
                        write!(f, "namespace {DNS_NAMESPACE} has no pod of it ({DNS_SELECTOR})")
                    }
                    Read::Known(DnsPods { ready, all }) => write!(f, "{ready} of its {all} pods are ready"),
                    Read::Unknown(why) => write!(f, "its pods are unknown, because {why}"),
                }
            }
            CheckFailed::Blocked {
                to, dns, policies, ..
            } => {
                f.write_str("the agent's traffic is blocked: ")?;
                if *dns {
                    write!(
                        f,
                        "names are found, but it cannot connect to {to}, the API server's service"
                    )?;
                } else {
                    write!(
                        f,
                        "it reaches neither the cluster's DNS nor {to}, the API server's service"
                    )?;
                }
                match policies {
                    Read::Known(names) => match &names[..] {
                        [] => f.write_str(". No network policy selects the agent's pod"),
                        [name] => write!(f, ". The network policy `{name}` selects the agent's pod"),
                        names => write!(
                            f,
                            ". The network policies `{}` select the agent's pod",
                            names.join("`, `")
                        ),
                    },
                    Read::Unknown(why) => write!(f, ". Its network policies are unknown, because {why}"),
                }
            }
            CheckFailed::OtherDomain { service, domain } => write!(
                f,
                "the cluster's DNS has no name `{service}`: it serves another domain than `{domain}`, so no name of the \
                 cluster is found"
            ),
        }
    }
}

impl Fault for CheckFailed {
    fn code(&self) -> &str {
        match self {
            CheckFailed::DnsSilent { .. } => "cluster-dns-silent",
            CheckFailed::Blocked { .. } => "agent-blocked",
            CheckFailed::OtherDomain { .. } => "cluster-domain-not-served",
        }
    }

    fn remedy(&self) -> String {
        match self {
            CheckFailed::DnsSilent {
                pods: Read::Known(DnsPods { ready: 1.., .. }),
                ..
            } => format!(
                "Ask the cluster's administrator whether the pods of the cluster's DNS are overloaded; `{}` shows them. If \
                 the cluster has another domain, connect with `--cluster-domain DOMAIN`.",
                show_dns()
            ),
            CheckFailed::DnsSilent { .. } => format!(
                "Start the cluster's DNS, or ask the cluster's administrator: `{}` shows its pods.",
                show_dns()
            ),
            CheckFailed::Blocked {
                policies: Read::Known(names),
                namespace,
                ..
            } if !names.is_empty() => format!(
                "Allow traffic of pods with the label app.kubernetes.io/name=slipway-agent; `{}` shows what is allowed. Or \
                 connect to another namespace, with `--namespace`.",
                show_policies(namespace)
            ),
            CheckFailed::Blocked { namespace, .. } => format!(
                "Ask the cluster's administrator which network policy or firewall limits pods in namespace {namespace}, \
                 or connect to another namespace, with `--namespace`."
            ),
            CheckFailed::OtherDomain { .. } => {
                "Connect with `--cluster-domain DOMAIN`, or set `cluster-domain` in the profile's `[dns]`. The \
                 configuration of the cluster's DNS names the domain."
                    .to_owned()
            }
        }
    }

    fn actions(&self) -> Vec<Action> {
        let command = match self {
            CheckFailed::DnsSilent { .. } => show_dns(),
            CheckFailed::Blocked {
                policies: Read::Known(names),
                namespace,
                ..
            } if !names.is_empty() => show_policies(namespace),
            CheckFailed::Blocked { .. } | CheckFailed::OtherDomain { .. } => return Vec::new(),
        };
        vec![Action::Run { command }]
    }
}

fn show_dns() -> String {
    format!("kubectl --namespace {DNS_NAMESPACE} get pods --selector {DNS_SELECTOR}")
}

fn show_policies(namespace: &str) -> String {
    format!("kubectl --namespace {namespace} describe networkpolicies")
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn policies(policies: Read<Vec<String>>) -> CheckFailed {
        CheckFailed::Blocked {
            to: ([10, 96, 0, 1], 443).into(),
            dns: false,
            policies,
            namespace: "shop".to_owned(),
        }
    }

    fn dns(pods: Read<DnsPods>) -> CheckFailed {
        let service = "kubernetes.default.svc.cluster.local".parse().unwrap();
        CheckFailed::DnsSilent { pods, service }
    }

    #[test]
    fn each_fault_says_what_stands_behind_it() {
        let unknown = || "you may not list pods".to_owned();
        let named = |names: &[&str]| Read::Known(names.iter().map(|name| (*name).to_owned()).collect());
        for (problem, words, remedy) in [
            (
                policies(named(&[])),
                "No network policy selects",
                "which network policy or firewall",
            ),
            (
                policies(named(&["a"])),
                "The network policy `a` selects",
                "describe networkpolicies",
            ),
            (
                policies(named(&["a", "b"])),
                "policies `a`, `b` select",
                "describe networkpolicies",
            ),
            (
                policies(Read::Unknown(unknown())),
                "you may not list pods",
                "which network policy or firewall",
            ),
            (
                dns(Read::Known(DnsPods { ready: 0, all: 0 })),
                "has no pod of it",
                "Start the cluster's DNS",
            ),
            (
                dns(Read::Known(DnsPods { ready: 0, all: 2 })),
                "0 of its 2 pods",
                "Start the cluster's DNS",
            ),
            (
                dns(Read::Known(DnsPods { ready: 2, all: 2 })),
                "2 of its 2 pods",
                "are overloaded",
            ),
            (
                dns(Read::Unknown(unknown())),
                "you may not list pods",
                "Start the cluster's DNS",
            ),
        ] {
            assert!(problem.to_string().contains(words), "{problem}");
            assert!(problem.remedy().contains(remedy), "{}", problem.remedy());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_that_cannot_be_read_is_left_out_in_time() {
        let began = Instant::now();
        let read: Read<()> = read(std::future::pending()).await;
        assert_eq!(read, Read::Unknown("the API server did not answer".to_owned()));
        assert_eq!(began.elapsed(), READ_WITHIN);
    }
}
