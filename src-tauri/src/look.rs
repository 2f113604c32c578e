//! Icon and tooltip of the tray.

use slipway_control::plain_line;
use slipway_control_api::{SessionStatus, Word};

use crate::state::DesktopState;
use crate::words;

/// Icon for all sessions together: the position of a hull. The worst state decides, because users look at the icon
/// first when something does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Glyph {
    /// On land: no session.
    Disconnected,
    /// Half-way: a session connects or disconnects.
    Connecting,
    /// Afloat.
    Connected,
    /// Afloat on broken water: a session reconnects, or is connected with a problem.
    Degraded,
    /// A session needs its user.
    Attention,
}

/// Returns the icon for this state.
pub fn glyph(desktop: &DesktopState) -> Glyph {
    let any = |holds: fn(&SessionStatus) -> bool| desktop.sessions.values().any(holds);
    if !desktop.failures.is_empty() || any(|status| words::word(status) == Word::NeedsYou) {
        return Glyph::Attention;
    }
    if any(|status| words::word(status) == Word::Reconnecting || is_ailing(status)) {
        return Glyph::Degraded;
    }
    if !desktop.starting.is_empty() || any(|status| is_on_its_way(words::word(status))) {
        return Glyph::Connecting;
    }
    if any(|status| words::word(status) == Word::Connected) {
        return Glyph::Connected;
    }
    Glyph::Disconnected
}

/// Returns the tooltip: a line for every session, attempt and failure.
pub fn tooltip(desktop: &DesktopState) -> String {
    let lines = tellings(desktop);
    if lines.is_empty() {
        return "Slipway: Not connected".into();
    }
    let lines: Vec<_> = lines.iter().map(|line| plain_line(line)).collect();
    lines.join("\n")
}

/// Returns a line for every session, attempt and failure. Without `health`, which changes every few seconds: each
/// change would wake the panel.
pub(crate) fn tellings(desktop: &DesktopState) -> Vec<String> {
    let mut lines: Vec<_> = desktop
        .sessions
        .values()
        .map(|status| format!("{}: {}", status.title(), words::state(status)))
        .collect();
    for target in &desktop.starting {
        if desktop.sessions_of(target).is_empty() {
            lines.push(format!("{target}: {}", Word::Connecting));
        }
    }
    for target in desktop.failures.keys() {
        if desktop.sessions_of(target).is_empty() && !desktop.starting.contains(target) {
            lines.push(format!("{target}: {}", Word::NeedsYou));
        }
    }
    lines
}

fn is_ailing(status: &SessionStatus) -> bool {
    words::word(status) == Word::Connected && !status.problems.is_empty()
}

fn is_on_its_way(word: Word) -> bool {
    match word {
        Word::Connecting | Word::Disconnecting => true,
        Word::NotConnected | Word::Connected | Word::Reconnecting | Word::NeedsYou => false,
    }
}
