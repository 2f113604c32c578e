//! Authority over leases: either one user is named on the command line, or polkit decides.

use std::collections::HashMap;
use std::time::Duration;

use slipway_helper_api::{HelperRefusal, LeaseAccess, Stranger};
use tokio::time::timeout;
use zbus::Connection;
use zbus::zvariant::{Fd, Value};

use crate::peer::Peer;

/// Decider of who may have a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authority {
    /// Only this user, without asking polkit. For a helper that is started by hand.
    Only(u32),
    /// Users whom polkit allows [`ACTION`].
    Polkit,
}

impl Authority {
    /// Checks that this user may talk to the helper at all.
    pub(crate) fn admits(self, uid: u32) -> Result<(), HelperRefusal> {
        match self {
            Self::Only(allowed) if allowed != uid => Err(HelperRefusal::NotAuthorized {
                uid,
                why: Stranger::OtherUser { allowed },
            }),
            Self::Only(_) | Self::Polkit => Ok(()),
        }
    }

    /// Checks that this process may have a lease. polkit may ask the user, so this can wait up to [`QUESTION_WAIT`].
    pub(crate) async fn allows(self, peer: &Peer) -> Result<(), HelperRefusal> {
        let uid = peer.uid;
        match self {
            Self::Only(_) => self.admits(uid),
            // Root may change the network anyway.
            Self::Polkit if uid == 0 => Ok(()),
            Self::Polkit => {
                decided(async { Ok(ask_polkit(peer, ALLOW_USER_INTERACTION).await?.0) })
                    .await
                    .map_err(|why| HelperRefusal::NotAuthorized { uid, why })?;
                // polkit before 124 identifies processes by ID. If this one still runs, the ID was its own throughout.
                if peer.has_ended() {
                    return Err(HelperRefusal::NotAuthorized {
                        uid,
                        why: Stranger::Denied,
                    });
                }
                Ok(())
            }
        }
    }

    /// Says whether this process may have a lease, as far as polkit knows without asking the user.
    pub(crate) async fn would_allow(self, peer: &Peer) -> LeaseAccess {
        let uid = peer.uid;
        match self {
            Self::Only(_) => self
                .admits(uid)
                .map_or_else(LeaseAccess::Refused, |()| LeaseAccess::Granted),
            Self::Polkit if uid == 0 => LeaseAccess::Granted,
            Self::Polkit => foreseen(uid, ask_polkit(peer, NO_INTERACTION)).await,
        }
    }
}

/// Turns polkit's answer without a question to the user into what a request for a lease would get.
async fn foreseen(uid: u32, asked: impl Future<Output = zbus::Result<(bool, bool)>>) -> LeaseAccess {
    let refused = |why| LeaseAccess::Refused(HelperRefusal::NotAuthorized { uid, why });
    match timeout(STATUS_WAIT, asked).await {
        Ok(Ok((true, _))) => LeaseAccess::Granted,
        Ok(Ok((false, true))) => LeaseAccess::AfterQuestion,
        Ok(Ok((false, false))) => refused(Stranger::Denied),
        Ok(Err(error)) => refused(Stranger::NoPolkit {
            reason: error.to_string(),
        }),
        Err(_) => LeaseAccess::Unknown,
    }
}

/// Turns polkit's answer into a result. No answer within [`QUESTION_WAIT`] means no.
async fn decided(asked: impl Future<Output = zbus::Result<bool>>) -> Result<(), Stranger> {
    match timeout(QUESTION_WAIT, asked).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) | Err(_) => Err(Stranger::Denied),
        Ok(Err(error)) => Err(Stranger::NoPolkit {
            reason: error.to_string(),
        }),
    }
}

/// polkit action of a lease, defined in `packaging/polkit/dev.slipway.helper.policy`.
const ACTION: &str = "dev.slipway.helper.connect";
/// Time limit for polkit's answer, and so for the user whom it asks.
const QUESTION_WAIT: Duration = Duration::from_secs(120);
/// Time limit for polkit's answer when it may not ask the user.
const STATUS_WAIT: Duration = Duration::from_secs(2);
/// CheckAuthorizationFlags of org.freedesktop.PolicyKit1.Authority.
const ALLOW_USER_INTERACTION: u32 = 1;
/// No flag of CheckAuthorizationFlags.
const NO_INTERACTION: u32 = 0;

/// Returns whether the process is authorized, and whether it would be after a question to the user.
async fn ask_polkit(peer: &Peer, flags: u32) -> zbus::Result<(bool, bool)> {
    let bus = Connection::system().await?;
    let authority = AuthorityProxy::new(&bus).await?;
    let mut subject = HashMap::from([
        ("pid", Value::from(peer.pid)),
        // Zero: polkit reads the start time itself. The helper's sandbox hides other users' processes.
        ("start-time", Value::from(0u64)),
        ("uid", Value::from(i32::from_ne_bytes(peer.uid.to_ne_bytes()))),
    ]);
    if let Some(pidfd) = &peer.pidfd {
        // polkit from 124 on uses the descriptor; earlier ones ignore it.
        subject.insert("pidfd", Value::from(Fd::from(pidfd)));
    }
    let subject = ("unix-process", subject);
    let (allowed, challenge, _details) = authority
        .check_authorization(&subject, ACTION, HashMap::new(), flags, "")
        .await?;
    Ok((allowed, challenge))
}

/// (is authorized, is challenge, details)
type AuthorizationResult = (bool, bool, HashMap<String, String>);

#[zbus::proxy(
    interface = "org.freedesktop.PolicyKit1.Authority",
    default_service = "org.freedesktop.PolicyKit1",
    default_path = "/org/freedesktop/PolicyKit1/Authority",
    gen_blocking = false
)]
trait Authority {
    fn check_authorization(
        &self,
        subject: &(&str, HashMap<&str, Value<'_>>),
        action: &str,
        details: HashMap<&str, &str>,
        flags: u32,
        cancellation: &str,
    ) -> zbus::Result<AuthorizationResult>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_unanswered_polkit_question_means_no() {
        let asked = tokio::time::Instant::now();
        assert_eq!(decided(std::future::pending()).await, Err(Stranger::Denied));
        assert_eq!(asked.elapsed(), QUESTION_WAIT);
    }

    #[tokio::test(start_paused = true)]
    async fn polkits_answer_is_known_without_a_question() {
        let denied = LeaseAccess::Refused(HelperRefusal::NotAuthorized {
            uid: 1000,
            why: Stranger::Denied,
        });
        for (answer, access) in [
            ((true, false), LeaseAccess::Granted),
            ((false, true), LeaseAccess::AfterQuestion),
            ((false, false), denied),
        ] {
            assert_eq!(foreseen(1000, std::future::ready(Ok(answer))).await, access);
        }
        let asked = tokio::time::Instant::now();
        assert_eq!(foreseen(1000, std::future::pending()).await, LeaseAccess::Unknown);
        assert_eq!(asked.elapsed(), STATUS_WAIT);
    }

    #[test]
    fn a_helper_for_one_user_serves_no_other() {
        assert_eq!(Authority::Only(1000).admits(1000), Ok(()));
        assert_eq!(
            Authority::Only(1000).admits(1001),
            Err(HelperRefusal::NotAuthorized {
                uid: 1001,
                why: Stranger::OtherUser { allowed: 1000 }
            })
        );
        assert!(
            Authority::Only(1000).admits(0).is_err(),
            "not even root: it can start its own"
        );
        assert_eq!(Authority::Polkit.admits(1001), Ok(()));
    }
}
