//! Switch that keeps OpenGL out of this process.
//!
//! GDK 3 initializes OpenGL as soon as it opens an X11 display. With Mesa this loads a driver and a compiler, which
//! take some 50 MB of memory, although other programs draw the tray. The only switch against it is `GDK_GL=disable`.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::process::Command;

const SWITCH: &str = "GDK_GL";

/// Whether this program set the switch, and not the user.
static OURS: AtomicBool = AtomicBool::new(false);

/// Disables OpenGL in GDK, unless the user has set the switch.
///
/// # Safety
///
/// No other thread may run yet: C libraries read the environment without a lock (setenv(3)).
#[expect(unsafe_code, reason = "GDK reads the switch only from the environment")]
pub unsafe fn keep_out() {
    if std::env::var_os(SWITCH).is_none() {
        // SAFETY: the caller ensures that no other thread runs.
        unsafe { std::env::set_var(SWITCH, "disable") };
        OURS.store(true, Ordering::Relaxed);
    }
}

/// Removes the switch from a command's environment. A login page that a credential plugin opens may need OpenGL.
pub(crate) fn leave_to(command: &mut Command) {
    if OURS.load(Ordering::Relaxed) {
        command.env_remove(SWITCH);
    }
}
