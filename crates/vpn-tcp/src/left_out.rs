//! Namespaces without a domain in systemd-resolved.

use slipway_names::Label;
use slipway_problem::Fault;

/// Namespaces for which systemd-resolved has no room. They are the last ones in alphabetical order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "systemd-resolved takes no more domains, so some programs do not find names such as `web.{first}` in {}",
    self.which()
)]
pub(crate) struct LeftOut {
    count: usize,
    first: Label,
    last: Label,
}

impl LeftOut {
    /// Returns the left out part of a sorted list; `None` if it is empty.
    pub(crate) fn of(namespaces: &[Label]) -> Option<Self> {
        Some(Self {
            count: namespaces.len(),
            first: namespaces.first()?.clone(),
            last: namespaces.last()?.clone(),
        })
    }

    fn which(&self) -> String {
        let Self { count, first, last } = self;
        match count {
            1 => format!("the namespace `{first}`"),
            _ => format!("{count} namespaces, in alphabetical order from `{first}` to `{last}`"),
        }
    }
}

impl Fault for LeftOut {
    fn code(&self) -> &str {
        "too-many-namespaces"
    }

    fn remedy(&self) -> String {
        format!("Use names that end in `.svc`, such as `web.{}.svc`.", self.first)
    }
}
