//! Keeps OpenGL out of a process that draws nothing.
//!
//! GDK 3 sets OpenGL up as soon as it opens an X11 display, to know which visuals have it. With Mesa that brings in a
//! driver and the compiler behind it: some 50 MB of memory, for a tray that other programs draw. `GDK_GL=disable` is
//! the only switch it has.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::process::Command;

const SWITCH: &str = "GDK_GL";

/// The switch is ours, and not the user's.
static OURS: AtomicBool = AtomicBool::new(false);

/// Has GDK do without OpenGL, unless the user decided about it.
///
/// # Safety
///
/// No other thread may run yet: the environment of a process has no lock that C libraries know of (setenv(3)).
#[expect(unsafe_code, reason = "GDK reads this from nowhere but the environment")]
pub unsafe fn keep_out() {
    if std::env::var_os(SWITCH).is_none() {
        // SAFETY: as this function's caller promises.
        unsafe { std::env::set_var(SWITCH, "disable") };
        OURS.store(true, Ordering::Relaxed);
    }
}

/// Starts a program as the user would: a login page that its plugin opens may well want OpenGL.
pub(crate) fn leave_to(command: &mut Command) {
    if OURS.load(Ordering::Relaxed) {
        command.env_remove(SWITCH);
    }
}
