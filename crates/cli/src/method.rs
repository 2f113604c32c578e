//! Selection of a session's method by its profile.

use std::path::PathBuf;

use slipway_control_api::Problem;
use slipway_method::Method;
use slipway_problem::Fault;
use slipway_profile::{self as profile, MethodNotYet};
use slipway_session::Options;
use slipway_vpn_tcp::VpnTcp;

/// Returns the method of a session with these options. `helper` is the socket of the privileged helper, for methods
/// that need it.
///
/// # Errors
///
/// `method-not-yet` for a method that is not available yet.
pub(crate) fn method_of(options: &Options, helper: PathBuf) -> Result<Box<dyn Method>, Problem> {
    match options.profile.method {
        profile::Method::VpnTcp => Ok(Box::new(VpnTcp::new(helper))),
        method @ (profile::Method::InjectTcp | profile::Method::Container) => {
            let problem = MethodNotYet { method }.problem();
            Err(match options.saved {
                true => options.profile.name.editable(problem),
                false => problem,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use slipway_profile::{Method, Profile};

    use super::*;

    #[test]
    fn an_unavailable_method_is_a_problem_of_the_profile() {
        let mut options = Options {
            profile: Profile::unsaved(),
            saved: true,
            terminal: false,
            home: PathBuf::new(),
        };
        assert!(method_of(&options, PathBuf::new()).is_ok());
        options.profile.method = Method::Container;
        let problem = method_of(&options, PathBuf::new()).err().unwrap();
        assert_eq!(problem.code, "method-not-yet");
        assert!(problem.remedy.contains("slipway profiles edit"), "{problem:?}");
    }
}
