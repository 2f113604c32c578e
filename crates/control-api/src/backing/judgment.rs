//! Judgment of a backing: whether connections to the name can succeed, and if not, the first reason.

use serde::{Deserialize, Serialize};

use super::{Backing, Endpoints};
use crate::list::{Port, Service};

/// Judgment of what stands behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum BackingVerdict {
    /// A pod is ready to take connections.
    Serves,
    /// The service is an alias of another name.
    Alias,
    /// Too little could be read.
    Unknown,
    /// The namespace does not exist.
    NamespaceMissing,
    /// The service does not exist.
    ServiceMissing,
    /// The service exists only in other namespaces.
    Elsewhere,
    /// The service does not have the port.
    NoPort,
    /// The service has the port, but not for TCP.
    OtherProtocol,
    /// No pod has the port to which the service's port leads.
    NoTargetPort,
    /// The workload of the service has no pods, because it is scaled to 0.
    ScaledToZero,
    /// No pod stands behind the service.
    NoPod,
    /// No pod behind the service is ready.
    NotReady,
    /// The service has no pod of that name.
    NoSuchPod,
    /// The pod of that name is not ready.
    PodNotReady,
    /// A verdict of a newer version.
    #[serde(other)]
    Newer,
}

impl Backing {
    /// Judges connections to `port`, or to the service in general.
    pub fn verdict(&self, port: Option<u16>) -> BackingVerdict {
        if self.exists != Some(true) {
            return self.without_service();
        }
        let Some(service) = &self.service else {
            return BackingVerdict::Unknown;
        };
        if service.external_name.is_some() {
            return BackingVerdict::Alias;
        }
        // The name of a headless service leads to its pods, which may listen at ports that the service does not have.
        let ports = if self.is_headless() {
            Vec::new()
        } else {
            match asked(service, port) {
                Ok(ports) => ports,
                Err(verdict) => return verdict,
            }
        };
        match &self.endpoints {
            None => BackingVerdict::Unknown,
            Some(endpoints) => self.of_endpoints(endpoints, &ports),
        }
    }

    /// The namespace that was perhaps meant: a similar one, or the only other one that has the service.
    pub(crate) fn meant_namespace(&self, port: Option<u16>) -> Option<&str> {
        match (self.verdict(port), &self.elsewhere[..]) {
            (BackingVerdict::NamespaceMissing, _) => self.near_namespace.as_deref(),
            (BackingVerdict::Elsewhere, [only]) => Some(only),
            (_, _) => None,
        }
    }

    fn without_service(&self) -> BackingVerdict {
        match (self.namespace_exists, self.exists) {
            (Some(false), _) => BackingVerdict::NamespaceMissing,
            (_, None | Some(true)) => BackingVerdict::Unknown,
            (_, Some(false)) if self.elsewhere.is_empty() => BackingVerdict::ServiceMissing,
            (_, Some(false)) => BackingVerdict::Elsewhere,
        }
    }

    fn of_endpoints(&self, endpoints: &Endpoints, ports: &[&Port]) -> BackingVerdict {
        let no_pods = endpoints.ready == 0 && endpoints.not_ready == 0;
        if no_pods {
            return match &self.workload {
                Some(workload) if workload.wanted == 0 => BackingVerdict::ScaledToZero,
                Some(_) | None => BackingVerdict::NoPod,
            };
        }
        if self.pod.is_some() {
            return match endpoints.pod_is_ready {
                None => BackingVerdict::NoSuchPod,
                Some(false) => BackingVerdict::PodNotReady,
                Some(true) => BackingVerdict::Serves,
            };
        }
        if endpoints.ready == 0 {
            return BackingVerdict::NotReady;
        }
        let leads_nowhere = |led: &Vec<String>| {
            let leads = |port: &&Port| {
                led.iter()
                    .any(|name| name == port.name.as_deref().unwrap_or_default())
            };
            !ports.is_empty() && !ports.iter().any(leads)
        };
        if endpoints.ports.as_ref().is_some_and(leads_nowhere) {
            return BackingVerdict::NoTargetPort;
        }
        BackingVerdict::Serves
    }
}

/// Returns the service's ports that the question is about: those with the number, or the only one.
fn asked(service: &Service, port: Option<u16>) -> Result<Vec<&Port>, BackingVerdict> {
    let Some(number) = port else {
        return Ok(match &service.ports[..] {
            [only] => vec![only],
            [] | [_, _, ..] => Vec::new(),
        });
    };
    let same: Vec<&Port> = service.ports.iter().filter(|port| port.port == number).collect();
    if same.is_empty() {
        return Err(BackingVerdict::NoPort);
    }
    let tcp: Vec<&Port> = same.into_iter().filter(|port| port.protocol == "TCP").collect();
    if tcp.is_empty() {
        return Err(BackingVerdict::OtherProtocol);
    }
    Ok(tcp)
}
