//! Privileges of the helper: it keeps CAP_NET_ADMIN and drops all others.

use anyhow::{Context as _, bail};
use caps::{CapSet, Capability, CapsHashSet};

/// Checks for CAP_NET_ADMIN before anything is changed.
pub(crate) fn require() -> anyhow::Result<()> {
    if !permitted()?.contains(&Capability::CAP_NET_ADMIN) {
        bail!("slipway-helper needs CAP_NET_ADMIN: start it through its systemd unit, or with sudo");
    }
    Ok(())
}

/// Drops every capability except CAP_NET_ADMIN, permanently. Capabilities belong to threads, so call it before the
/// second thread starts.
pub(crate) fn shed() -> anyhow::Result<()> {
    let permitted = permitted()?;
    nix::sys::prctl::set_no_new_privs().context("Failed to set no_new_privs")?;
    let kept = CapsHashSet::from([Capability::CAP_NET_ADMIN]);
    if permitted == kept {
        // Under systemd there is nothing to drop, and the unit's sandbox forbids the calls.
        return Ok(());
    }
    // Without CAP_SETPCAP the bounding set cannot shrink. That is safe: it limits only programs that gain capabilities,
    // which no_new_privs forbids.
    if permitted.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::runtime::thread_all_supported() {
            if capability != Capability::CAP_NET_ADMIN {
                caps::drop(None, CapSet::Bounding, capability)
                    .context("Failed to shrink the bounding set")?;
            }
        }
    }
    caps::clear(None, CapSet::Ambient).context("Failed to clear the ambient capabilities")?;
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).context("Failed to give up capabilities")?;
    }
    caps::clear(None, CapSet::Inheritable).context("Failed to clear the inheritable capabilities")?;
    if self::permitted()? != kept {
        bail!("the kernel left slipway-helper more capabilities than CAP_NET_ADMIN");
    }
    Ok(())
}

fn permitted() -> anyhow::Result<CapsHashSet> {
    caps::read(None, CapSet::Permitted).context("Failed to read this process's capabilities")
}
