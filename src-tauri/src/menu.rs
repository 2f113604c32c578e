//! Menu of the tray: a pure function of the state.

use slipway_control::plain_line;
use slipway_control_api::{Problem, SessionId, SessionStatus, Word};

use crate::look;
use crate::state::{DesktopState, Saved, Target};
use crate::words;

/// The tray's menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// The entries, from top to bottom.
    pub entries: Vec<Entry>,
}

/// An entry of the menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A text, which may be clickable.
    Item(Item),
    /// A line between groups.
    Separator,
}

/// A text of the menu, which may be clickable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The item's key, which names its subject. Menus with the same slots are changed in place, so that an open menu stays
    /// open, and a late click finds its own item or none.
    pub slot: String,
    /// The text.
    pub text: String,
    /// The action of a click; `None` if the item cannot be clicked.
    pub click: Option<Click>,
}

/// Action of a click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Click {
    /// Start a session.
    Connect(Target),
    /// End a session.
    Disconnect(SessionId),
    /// End every session.
    DisconnectAll,
    /// Remove the failures of sessions that have ended.
    Dismiss,
    /// End the tray; sessions continue.
    Quit,
}

/// Returns the menu for this state.
pub fn menu(desktop: &DesktopState) -> Menu {
    let mut menu = Menu { entries: Vec::new() };
    menu.read("summary", summary(desktop));
    menu.separate();
    if desktop.profiles.is_empty() {
        menu.contexts(desktop);
    } else {
        menu.profiles(desktop);
    }
    menu.others(desktop);
    menu.separate();
    menu.footer(desktop);
    menu
}

impl Menu {
    /// Returns the item at `slot`.
    pub fn item(&self, slot: &str) -> Option<&Item> {
        self.items().find(|item| item.slot == slot)
    }

    /// Whether both menus have the same slots, so that only texts and clicks can differ.
    pub fn has_slots_of(&self, other: &Self) -> bool {
        let slot = |entry: &Entry| match entry {
            Entry::Item(item) => Some(item.slot.clone()),
            Entry::Separator => None,
        };
        self.entries.iter().map(slot).eq(other.entries.iter().map(slot))
    }

    fn items(&self) -> impl Iterator<Item = &Item> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Item(item) => Some(item),
            Entry::Separator => None,
        })
    }

    fn read(&mut self, slot: impl Into<String>, text: impl AsRef<str>) {
        self.push(slot.into(), text.as_ref(), None);
    }

    fn offer(&mut self, slot: impl Into<String>, text: impl AsRef<str>, click: Click) {
        self.push(slot.into(), text.as_ref(), Some(click));
    }

    fn push(&mut self, slot: String, text: &str, click: Option<Click>) {
        let text = plain_line(text).into_owned();
        self.entries.push(Entry::Item(Item { slot, text, click }));
    }

    fn separate(&mut self) {
        self.entries.push(Entry::Separator);
    }

    fn profiles(&mut self, desktop: &DesktopState) {
        for saved in &desktop.profiles {
            match saved {
                Saved::Profile { name, protected } => {
                    self.row(desktop, &Target::Profile(name.clone()), *protected);
                }
                Saved::Broken { stem, problem } => {
                    let slot = format!("broken:{stem}");
                    self.read(&slot, format!("{stem} (cannot be read)"));
                    self.problems(&slot, [problem]);
                }
            }
        }
    }

    fn contexts(&mut self, desktop: &DesktopState) {
        if desktop.contexts.is_empty() {
            self.read("empty", "No profile is saved and no context was found");
            return;
        }
        self.read("found", "Found in your kubeconfig");
        for target in desktop.rows() {
            self.row(desktop, &target, false);
        }
    }

    /// Adds a target: its sessions if it has any, else the item to connect it.
    fn row(&mut self, desktop: &DesktopState, target: &Target, protected: bool) {
        let sessions = desktop.sessions_of(target);
        let slot = slot(target);
        let mark = if protected { ", protected" } else { "" };
        let Some((first, more)) = sessions.split_first() else {
            if desktop.starting.contains(target) {
                self.read(&slot, format!("{target} ({}{mark})", Word::Connecting));
                return;
            }
            let mark = if protected { " (protected)" } else { "" };
            self.offer(
                &slot,
                format!("Connect {target}{mark}"),
                Click::Connect(target.clone()),
            );
            if let Some(failure) = desktop.failures.get(target) {
                self.problems(&slot, [&failure.problem]);
            }
            return;
        };
        self.session(&slot, first, mark);
        for status in more {
            self.session(&format!("session:{}", status.id), status, mark);
        }
    }

    /// Adds sessions and failures without a row: started in a terminal, or of a profile that was deleted.
    fn others(&mut self, desktop: &DesktopState) {
        let rows = desktop.rows();
        let sessions: Vec<_> = desktop
            .sessions
            .values()
            .filter(|status| !rows.contains(&desktop.target_of(status)))
            .collect();
        let failures: Vec<_> = desktop
            .failures
            .iter()
            .filter(|(target, _)| !rows.contains(target) && desktop.sessions_of(target).is_empty())
            .collect();
        if sessions.is_empty() && failures.is_empty() {
            return;
        }
        self.separate();
        for status in sessions {
            self.session(&format!("session:{}", status.id), status, "");
        }
        for (target, failure) in failures {
            let slot = slot(target);
            self.read(&slot, format!("{target} ({})", Word::NeedsYou));
            self.problems(&slot, [&failure.problem]);
        }
    }

    fn session(&mut self, slot: &str, status: &SessionStatus, mark: &str) {
        let (title, state) = (status.title(), words::state(status));
        if words::can_end(status) {
            self.offer(
                slot,
                format!("Disconnect {title} ({state}{mark})"),
                Click::Disconnect(status.id.clone()),
            );
        } else {
            self.read(slot, format!("{title} ({}{mark})", Word::Disconnecting));
        }
        self.problems(slot, status.all_problems());
    }

    /// Adds causes and remedies below an item.
    fn problems<'a>(&mut self, slot: &str, problems: impl IntoIterator<Item = &'a Problem>) {
        let sentences = problems
            .into_iter()
            .flat_map(|problem| [&problem.cause, &problem.remedy])
            .flat_map(|sentence| words::lines(sentence));
        for (n, line) in sentences.enumerate() {
            self.read(format!("{slot}:problem:{n}"), format!("    {line}"));
        }
    }

    fn footer(&mut self, desktop: &DesktopState) {
        if desktop
            .sessions
            .values()
            .filter(|status| words::can_end(status))
            .count()
            > 1
        {
            self.offer("disconnect-all", "Disconnect all", Click::DisconnectAll);
        }
        if !desktop.failures.is_empty() {
            self.offer("dismiss", "Dismiss problems", Click::Dismiss);
        }
        let quit = if desktop.sessions.is_empty() {
            "Quit Slipway"
        } else {
            "Quit Slipway, stay connected"
        };
        self.offer("quit", quit, Click::Quit);
    }
}

fn slot(target: &Target) -> String {
    match target {
        Target::Profile(name) => format!("profile:{name}"),
        Target::Context(context) => format!("context:{context}"),
        Target::Other(title) => format!("other:{title}"),
    }
}

/// Returns the first line: the only message, or the number of connected sessions.
fn summary(desktop: &DesktopState) -> String {
    let tellings = look::tellings(desktop);
    if let [only] = tellings.as_slice() {
        return only.clone();
    }
    let connected = desktop
        .sessions
        .values()
        .filter(|status| words::word(status) == Word::Connected)
        .count();
    match (tellings.len(), connected) {
        (0, _) => Word::NotConnected.to_string(),
        (all, connected) if all == connected => format!("{connected} connected"),
        (all, connected) => format!("{connected} of {all} connected"),
    }
}

#[cfg(test)]
mod tests;
