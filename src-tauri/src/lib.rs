//! State, view and clicks of the tray, without the tray itself.
//!
//! ```text
//! profiles, sessions, started programs -> actor (the one owner of the DesktopState) -> View -> tray (in the binary)
//! clicks <---------------------------------------------------------------------------------- tray
//! ```
//!
//! [`View`] is a pure function of the [`DesktopState`]. [`actor::run`] keeps the state and carries out clicks. The binary
//! shows the view in Tauri's tray.
//!
//! Sessions are separate processes, which this crate finds and controls over control sockets. It knows no cluster, and
//! the end of the desktop ends no connection.

pub mod actor;
pub mod gl;
mod look;
mod menu;
mod program;
mod state;
mod words;

pub use look::{Glyph, glyph, tooltip};
pub use menu::{Click, Entry, Item, Menu, menu};
pub use program::Program;
pub use state::{DesktopState, Failure, Reporter, Saved, Target};

/// Content of the tray.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The menu.
    pub menu: Menu,
    /// The icon.
    pub glyph: Glyph,
    /// The tooltip.
    pub tooltip: String,
}

impl View {
    /// The view of a state.
    pub fn of(desktop: &DesktopState) -> Self {
        Self {
            menu: menu(desktop),
            glyph: glyph(desktop),
            tooltip: tooltip(desktop),
        }
    }
}
