//! Plan of a check: the methods, and the steps that they need.

use slipway_control_api::{Check, Steps};
use slipway_profile::Method;

/// Every step, in the order in which it is shown.
const ORDER: [Check; 12] = [
    Check::Kernel,
    Check::Tun,
    Check::Helper,
    Check::Resolver,
    Check::Method,
    Check::Kubeconfig,
    Check::ApiServer,
    Check::Namespace,
    Check::Permission,
    Check::Range,
    Check::Session,
    Check::Secret,
];

/// Returns what a session of this method needs.
const fn needed_by(method: Method) -> &'static [Check] {
    /// What every method needs: a cluster, and an agent in it.
    const CLUSTER: &[Check] = &[
        Check::Method,
        Check::Kubeconfig,
        Check::ApiServer,
        Check::Namespace,
        Check::Permission,
        Check::Session,
        Check::Secret,
    ];
    match method {
        Method::VpnTcp => &ORDER,
        // This version has no code of theirs that would need anything of the laptop.
        Method::InjectTcp | Method::Container => CLUSTER,
    }
}

/// Returns whether a session of this method needs what the check looks at.
pub(crate) fn needs(method: Method, check: Check) -> bool {
    needed_by(method).contains(&check)
}

/// Methods to check, and so the steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan(Vec<Method>);

impl Plan {
    pub(super) fn of(method: Method) -> Self {
        Self(vec![method])
    }

    pub(super) fn of_all_methods() -> Self {
        Self(Method::ALL.to_vec())
    }

    pub(super) fn methods(&self) -> &[Method] {
        &self.0
    }

    /// Returns the methods that need this check.
    pub(super) fn methods_of(&self, check: Check) -> Vec<Method> {
        let need = |method: &Method| needs(*method, check);
        self.0.iter().copied().filter(need).collect()
    }

    pub(super) fn has(&self, check: Check) -> bool {
        self.0.iter().any(|method| needs(*method, check))
    }

    /// Returns what is checked, as data.
    pub(super) fn steps(&self) -> Steps {
        Steps {
            methods: self.0.clone(),
            steps: ORDER.into_iter().filter(|check| self.has(*check)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_method_needs_is_checked() {
        assert_eq!(Plan::of(Method::VpnTcp).steps().steps, ORDER);
        for method in [Method::InjectTcp, Method::Container] {
            let steps = Plan::of(method).steps().steps;
            assert!(!steps.contains(&Check::Helper) && !steps.contains(&Check::Range));
            assert!(steps.contains(&Check::Method) && steps.contains(&Check::Permission));
        }
        let all = Plan::of_all_methods();
        assert_eq!(all.steps().steps, ORDER);
        assert_eq!(all.methods_of(Check::Tun), [Method::VpnTcp]);
        assert_eq!(all.methods_of(Check::ApiServer), Method::ALL);
    }

    #[test]
    fn findings_are_sorted_as_the_steps_are_shown() {
        assert!(ORDER.is_sorted(), "the type's order is used to sort findings");
    }
}
