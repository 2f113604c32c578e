//! Texts of a backing: what is wrong, what to do, and what was looked at. Names stand in backticks.

use super::{Backing, BackingVerdict, Replicas};
use crate::list::{Port, WorkloadKind};

impl Backing {
    /// Returns what is wrong with connections to the name, in a sentence or two; `None` if nothing is, as far as is known.
    pub(crate) fn cause(&self, port: Option<u16>) -> Option<String> {
        let Self { name, namespace, .. } = self;
        let asked = port.map_or_else(String::new, |port| port.to_string());
        Some(match self.verdict(port) {
            // What the name itself is found to be says these already.
            BackingVerdict::Serves
            | BackingVerdict::Unknown
            | BackingVerdict::ServiceMissing
            | BackingVerdict::Newer => return None,
            BackingVerdict::Alias => {
                let target = self.service.as_ref()?.external_name.as_deref()?;
                format!("Service `{name}` is an alias of `{target}`.")
            }
            BackingVerdict::NamespaceMissing => {
                format!("There is no namespace `{namespace}` in this cluster.")
            }
            BackingVerdict::Elsewhere => format!(
                "Namespace `{namespace}` has no service `{name}`; it exists in {}.",
                namespaces(&self.elsewhere)
            ),
            BackingVerdict::NoPort => format!(
                "Service `{name}` has no port {asked}; it has {}.",
                ports(&self.service.as_ref()?.ports)
            ),
            BackingVerdict::OtherProtocol => format!(
                "Service `{name}` has no port {asked}/TCP; it has {}.",
                ports(&self.service.as_ref()?.ports)
            ),
            BackingVerdict::NoTargetPort => format!(
                "No pod behind service `{name}` has the port to which {} leads.",
                self.leading(port)
            ),
            BackingVerdict::ScaledToZero => {
                let workload = self.workload.as_ref().map(named).unwrap_or_default();
                self.without_pods(&format!("{workload} is scaled to 0"))
            }
            BackingVerdict::NoPod => match &self.workload {
                Some(Replicas { wanted, ready, .. }) => {
                    let workload = self.workload.as_ref().map(named).unwrap_or_default();
                    self.without_pods(&format!("{ready} of {wanted} pods of {workload} are ready"))
                }
                None if self.selector.is_empty() => {
                    self.without_pods("the service selects no pods, and it has no other endpoints")
                }
                None => self.without_pods(&format!("it selects pods with the labels {}", self.labels())),
            },
            BackingVerdict::NotReady => {
                let pods = match self.endpoints.as_ref()?.not_ready {
                    1 => "the only pod behind it is not ready".to_owned(),
                    several => format!("none of the {several} pods behind it is ready"),
                };
                if self.is_headless() {
                    format!("Service `{name}` is headless, and {pods}. {UNKNOWN_TO_DNS}")
                } else {
                    format!("Connections to service `{name}` fail: {pods}.")
                }
            }
            BackingVerdict::NoSuchPod => {
                format!("Service `{name}` has no pod `{}`.", self.pod.as_deref()?)
            }
            BackingVerdict::PodNotReady => {
                format!(
                    "Pod `{}` of service `{name}` is not ready. {UNKNOWN_TO_DNS}",
                    self.pod.as_deref()?
                )
            }
        })
    }

    /// Returns what the user can do; `None` if there is nothing beyond what the name itself suggests.
    pub(crate) fn remedy(&self, port: Option<u16>) -> Option<String> {
        let Self { name, namespace, .. } = self;
        match self.verdict(port) {
            BackingVerdict::Serves
            | BackingVerdict::Alias
            | BackingVerdict::Unknown
            | BackingVerdict::Newer => None,
            BackingVerdict::NamespaceMissing => Some(match &self.near_namespace {
                Some(near) => format!("Did you mean namespace `{near}`?"),
                None => "`slipway list namespaces` shows the namespaces.".to_owned(),
            }),
            BackingVerdict::ServiceMissing => {
                self.near.as_ref().map(|near| format!("Did you mean `{near}.{namespace}`?"))
            }
            BackingVerdict::Elsewhere => self
                .elsewhere
                .first()
                .map(|other| format!("Did you mean `{name}.{other}.svc`?")),
            BackingVerdict::NoPort | BackingVerdict::OtherProtocol => Some("Use a port of the service.".to_owned()),
            BackingVerdict::NoTargetPort => Some(format!(
                "Correct `targetPort` of the service, or the ports of its pods; `kubectl --namespace {namespace} describe \
                 service {name}` shows it."
            )),
            BackingVerdict::ScaledToZero => self.workload.as_ref().map(|Replicas { kind, name, .. }| {
                format!(
                    "Scale it up, for example with `kubectl --namespace {namespace} scale {}/{name} --replicas 1`.",
                    kubectl(*kind)
                )
            }),
            BackingVerdict::NoPod | BackingVerdict::NotReady if !self.selector.is_empty() => Some(format!(
                "`kubectl --namespace {namespace} get pods --selector {}` shows its pods.",
                self.selector.join(",")
            )),
            BackingVerdict::NoPod | BackingVerdict::NotReady => {
                Some(format!("`kubectl --namespace {namespace} describe service {name}` shows it."))
            }
            BackingVerdict::NoSuchPod | BackingVerdict::PodNotReady => Some(format!(
                "`kubectl --namespace {namespace} get pods` shows the pods and their states."
            )),
        }
    }

    /// Returns what was looked at and what could not be, a line each.
    pub(crate) fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        if let Some(service) = &self.service {
            let kind = if self.is_headless() {
                "headless"
            } else {
                &*service.kind
            };
            steps.push(format!(
                "Service `{}` in namespace `{}`: {kind}, {}",
                self.name,
                self.namespace,
                ports(&service.ports)
            ));
        }
        if let Some(endpoints) = &self.endpoints {
            let all = endpoints.ready + endpoints.not_ready;
            steps.push(format!("Pods behind it: {} of {all} ready", endpoints.ready));
        }
        steps.extend(self.unread.iter().map(|unread| match &unread.reason {
            None => format!("Not looked at: you may not {}", unread.access),
            Some(reason) => format!(
                "Not looked at ({} {}): {reason}",
                unread.access.verb, unread.access.resource
            ),
        }));
        steps
    }

    fn without_pods(&self, why: &str) -> String {
        let name = &self.name;
        if self.is_headless() {
            return format!(
                "Service `{name}` is headless, and no pod stands behind it: {why}. {UNKNOWN_TO_DNS}"
            );
        }
        format!("No pod stands behind service `{name}`: {why}.")
    }

    fn labels(&self) -> String {
        let labels: Vec<String> = self.selector.iter().map(|label| format!("`{label}`")).collect();
        labels.join(", ")
    }

    /// The port that leads nowhere: the asked one, or the only one.
    fn leading(&self, port: Option<u16>) -> String {
        let ports = self
            .service
            .as_ref()
            .map(|service| &service.ports[..])
            .unwrap_or_default();
        let found = ports.iter().find(|one| port.is_none_or(|port| one.port == port));
        found.map_or_else(String::new, |port| match &port.target {
            Some(target) => format!("port {} (`targetPort: {target}`)", port.port),
            None => format!("port {}", port.port),
        })
    }
}

/// What CoreDNS does with the names of a headless service: it publishes only ready pods.
const UNKNOWN_TO_DNS: &str = "The cluster's DNS then answers that the name does not exist.";

fn ports(ports: &[Port]) -> String {
    if ports.is_empty() {
        return "no ports".to_owned();
    }
    let all: Vec<String> = ports
        .iter()
        .map(|port| format!("{}/{}", port.port, port.protocol))
        .collect();
    all.join(", ")
}

fn namespaces(names: &[String]) -> String {
    let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match &all[..] {
        [only] => format!("namespace {only}"),
        _ => format!("namespaces {}", all.join(", ")),
    }
}

fn named(workload: &Replicas) -> String {
    let kind = match workload.kind {
        WorkloadKind::Deployment => "deployment",
        WorkloadKind::StatefulSet => "stateful set",
        WorkloadKind::DaemonSet => "daemon set",
    };
    format!("{kind} `{}`", workload.name)
}

/// The kind as kubectl spells it.
fn kubectl(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "deployment",
        WorkloadKind::StatefulSet => "statefulset",
        WorkloadKind::DaemonSet => "daemonset",
    }
}

#[cfg(test)]
mod tests;
