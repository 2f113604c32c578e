//! The desktop shell, without the desktop: what it knows, what it shows, and what a click does.
//!
//! ```text
//! profiles, sessions, started programs -> actor (the one owner of the DesktopState) -> View -> tray (in the binary)
//! clicks <---------------------------------------------------------------------------------- tray
//! ```
//!
//! [`DesktopState`] is all that is known; [`View`] is a pure function of it; [`actor::run`] is the actor that keeps
//! the state and does what clicks ask. The binary puts Tauri's tray around that and decides nothing.
//!
//! Sessions are processes of their own, found and steered over control sockets: this crate knows neither the
//! engine nor a cluster, and nothing that happens to the desktop touches a connection.

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

/// What the tray shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The menu.
    pub menu: Menu,
    /// The icon.
    pub glyph: Glyph,
    /// The text beside the pointer.
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
