//! Shapes of the agent's pod: the ordinary one, and those that answer the rules of a namespace.

use super::PlaceError;
use super::resources::{Demands, Resource};

/// Form of the agent's pod beyond what the user sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// What quotas, limit ranges and rules demand of requests and limits.
    pub(super) demands: Demands,
    /// Whether the container has probes, which a rule demands. They check nothing: the session watches its agent itself.
    pub(super) probes: bool,
    /// Whether the pod has no sysctl, because a rule or the node forbids the agent's. Then it sends pings only
    /// where the container runtime lets every pod do so.
    pub(super) without_sysctls: bool,
    /// Whether the cluster assigns user ids itself (OpenShift's security context constraints).
    pub(super) assigned_user: bool,
    pub(super) processes: Processes,
}

/// Process namespace of the agent's container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Processes {
    /// Its own.
    #[default]
    Own,
    /// The pod's, so that the agent's end can be the end of containers that the cluster adds.
    Shared,
    /// Its own, because a rule forbids to share one.
    NeverShared,
}

impl Shape {
    /// Returns the shape that answers a refusal, if there is one that was not tried.
    pub(super) fn adapted_to(&self, refused: &PlaceError) -> Option<Self> {
        let mut next = self.clone();
        match refused {
            PlaceError::Quota { message, .. } => {
                let unspecified = message.split_once("must specify").map_or("", |(_, what)| what);
                if unspecified.contains("limits.cpu") {
                    next.demands.limit(Resource::Cpu);
                }
                if unspecified.contains("ephemeral-storage") {
                    next.demands.limit(Resource::EphemeralStorage);
                }
            }
            PlaceError::LimitRange { message } => {
                next.demands.learn(message);
                if !next.demands.can_be_met() {
                    return None;
                }
            }
            PlaceError::Admission { message } => {
                next.comply(message);
                if next == *self {
                    next.comply_blindly();
                }
            }
            // The kubelet's word for a pod whose sysctl the node does not allow (`pkg/kubelet/sysctl`).
            PlaceError::Evicted { reason, .. } => next.without_sysctls |= reason == "SysctlForbidden",
            PlaceError::Api(_)
            | PlaceError::Forbidden { .. }
            | PlaceError::NamespaceMissing { .. }
            | PlaceError::NamespaceEnding { .. }
            | PlaceError::Unschedulable { .. }
            | PlaceError::Image { .. }
            | PlaceError::Container { .. }
            | PlaceError::AddedContainer { .. }
            | PlaceError::Ended { .. }
            | PlaceError::Gone
            | PlaceError::TooSlow { .. }
            | PlaceError::Upload(_) => {}
        }
        (next != *self).then_some(next)
    }

    /// Returns this shape with the pod's process namespace, for a pod to which the cluster adds containers.
    pub(super) fn shared(&self) -> Self {
        Self {
            processes: Processes::Shared,
            ..self.clone()
        }
    }

    /// Meets what the words of a rule ask for.
    fn comply(&mut self, message: &str) {
        let message = message.to_lowercase();
        let says = |word: &str| message.contains(word);
        self.assigned_user |= says("security context constraint");
        self.without_sysctls |= says("sysctl");
        self.probes |= says("probe");
        if says("limit") {
            self.demands.limit(Resource::Cpu);
        }
        if says("ephemeral-storage") {
            self.demands.limit(Resource::EphemeralStorage);
        }
        if self.processes == Processes::Shared && (says("shareprocessnamespace") || says("process namespace"))
        {
            self.processes = Processes::NeverShared;
        }
    }

    /// Meets the usual rules one after another, for a rule whose words do not say what it asks for: first those that cost
    /// the agent nothing, and last the one that may cost it pings. Ephemeral storage is not among them, because some nodes
    /// have none to give.
    fn comply_blindly(&mut self) {
        let before = self.clone();
        self.probes = true;
        self.demands.limit(Resource::Cpu);
        if *self == before {
            self.without_sysctls = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(message: &str) -> PlaceError {
        PlaceError::Admission {
            message: message.to_owned(),
        }
    }

    fn adapted(message: &str) -> Shape {
        Shape::default().adapted_to(&admission(message)).unwrap()
    }

    #[test]
    fn a_full_quota_is_not_answered_with_another_shape() {
        let message = "exceeded quota: q, requested: limits.cpu=1, used: limits.cpu=4".to_owned();
        let full = PlaceError::Quota {
            message,
            asked: Demands::default().in_words(),
        };
        assert_eq!(Shape::default().adapted_to(&full), None);
    }

    #[test]
    fn a_rule_gets_what_its_words_ask_for() {
        let probes = adapted("container agent has no livenessProbe");
        assert!(probes.probes && !probes.without_sysctls);
        let sysctls = adapted("failed expression: !has(object.spec.securityContext.sysctls)");
        assert!(sysctls.without_sysctls && !sysctls.probes);
        let limits = adapted("CPU and memory resource requests and limits are required");
        assert_ne!(limits.demands, Demands::default());
        assert!(adapted("unable to validate against any security context constraint").assigned_user);
    }

    #[test]
    fn a_rule_that_does_not_say_what_it_asks_for_is_tried() {
        let refused = admission("no tunnels in this house");
        let first = Shape::default().adapted_to(&refused).unwrap();
        assert!(first.probes && !first.without_sysctls, "pings are given up last");
        let second = first.adapted_to(&refused).unwrap();
        assert!(second.without_sysctls);
        assert_eq!(second.adapted_to(&refused), None);
    }

    #[test]
    fn a_node_that_forbids_the_sysctl_gets_none() {
        let refused = PlaceError::Evicted {
            reason: "SysctlForbidden".to_owned(),
            message: "forbidden sysctl".to_owned(),
        };
        let shape = Shape::default().adapted_to(&refused).unwrap();
        assert!(shape.without_sysctls);
        assert_eq!(shape.adapted_to(&refused), None);
    }

    #[test]
    fn bounds_that_no_agent_meets_end_the_attempts() {
        let message = "maximum memory usage per Container is 8Mi, but limit is 128Mi".to_owned();
        assert_eq!(
            Shape::default().adapted_to(&PlaceError::LimitRange { message }),
            None
        );
    }

    #[test]
    fn a_rule_against_shared_processes_is_obeyed() {
        let refused = admission("shareProcessNamespace must not be true");
        let shape = Shape::default().shared().adapted_to(&refused).unwrap();
        assert_eq!(shape.processes, Processes::NeverShared);
    }
}
