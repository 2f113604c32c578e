//! Wait for a program that shows tray icons.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::sleep;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream};

/// Bus name of the register of tray items (StatusNotifierItem specification).
const REGISTER: &str = "org.kde.StatusNotifierWatcher";
/// Pause before the next attempt to reach the session bus.
const RETRY: Duration = Duration::from_secs(10);
/// Number of signals that may wait; one is enough to try again.
const QUEUE: usize = 4;

/// Signals that a tray may have appeared. Subscribed before the first attempt to show the icon, so that none is missed
/// between a failed attempt and the wait.
pub(crate) struct TrayHosts {
    signals: Option<Signals>,
}

struct Signals {
    register_came: MessageStream,
    host_came: MessageStream,
}

impl TrayHosts {
    pub(crate) async fn watch() -> Self {
        Self {
            signals: subscribe().await,
        }
    }

    /// Waits until a tray may have appeared; without a session bus, for [`RETRY`].
    pub(crate) async fn may_have_come(&mut self) {
        let Some(signals) = &mut self.signals else {
            sleep(RETRY).await;
            self.signals = subscribe().await;
            return;
        };
        let signal = tokio::select! {
            signal = signals.register_came.next() => signal,
            signal = signals.host_came.next() => signal,
        };
        if !matches!(signal, Some(Ok(_))) {
            self.signals = None;
        }
    }
}

async fn subscribe() -> Option<Signals> {
    match try_subscribe().await {
        Ok(signals) => Some(signals),
        Err(error) => {
            tracing::debug!(%error, "failed to subscribe to trays on the session bus");
            None
        }
    }
}

async fn try_subscribe() -> zbus::Result<Signals> {
    let bus = Connection::session().await?;
    let register_came = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")?
        .member("NameOwnerChanged")?
        .arg(0, REGISTER)?
        .build();
    let host_came = MatchRule::builder()
        .msg_type(Type::Signal)
        .interface(REGISTER)?
        .member("StatusNotifierHostRegistered")?
        .build();
    Ok(Signals {
        register_came: MessageStream::for_match_rule(register_came, &bus, Some(QUEUE)).await?,
        host_came: MessageStream::for_match_rule(host_came, &bus, Some(QUEUE)).await?,
    })
}
