//! Id and first status of a session.

use jiff::Timestamp;
use slipway_control_api::{SessionId, SessionStatus};
use slipway_profile::Method;

/// Returns a new, unique id that begins like `name` (a profile or a context).
pub fn fresh_id(name: &str) -> SessionId {
    let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The upper half, because the lower one has the fixed bits of a version 4 UUID (RFC 9562, 5.4).
    SessionId::new(name, u32::try_from(random >> 32).unwrap_or_default())
}

/// Returns the status of a session that begins now, in this process.
pub fn status_of_this_process(id: SessionId, profile: Option<String>, method: Method) -> SessionStatus {
    SessionStatus::preparing(id, profile, method, std::process::id(), Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_are_never_the_same() {
        let id = fresh_id("shop-staging");
        assert!(id.as_str().starts_with("shop-staging-"), "{id}");
        assert_ne!(id, fresh_id("shop-staging"));
    }
}
