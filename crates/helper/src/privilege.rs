//! Which powers the helper keeps: CAP_NET_ADMIN, and nothing else.

use anyhow::{Context as _, bail};
use caps::{CapSet, Capability, CapsHashSet};

/// Ends early where nothing could work, before anything is touched.
pub(crate) fn require() -> anyhow::Result<()> {
    if !permitted()?.contains(&Capability::CAP_NET_ADMIN) {
        bail!("slipway-helper needs CAP_NET_ADMIN: start it through its systemd unit, or with sudo");
    }
    Ok(())
}

/// Gives up everything but CAP_NET_ADMIN, for good. Capabilities belong to threads, so this comes before the second one.
pub(crate) fn shed() -> anyhow::Result<()> {
    let permitted = permitted()?;
    nix::sys::prctl::set_no_new_privs().context("Failed to set no_new_privs")?;
    let kept = CapsHashSet::from([Capability::CAP_NET_ADMIN]);
    if permitted == kept {
        // As systemd starts it: there is nothing to give up, and its sandbox does not even let us try.
        return Ok(());
    }
    // Without CAP_SETPCAP the bounding set cannot shrink; then it only limits programs that gain powers, and
    // no_new_privs forbids those.
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
        bail!("the kernel let more than CAP_NET_ADMIN stay");
    }
    Ok(())
}

fn permitted() -> anyhow::Result<CapsHashSet> {
    caps::read(None, CapSet::Permitted).context("Failed to read this process's capabilities")
}
