//! Waiting for somebody who shows trays.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::sleep;
use zbus::message::Type;
use zbus::{Connection, MatchRule, MessageStream};

/// The register of tray items (StatusNotifierItem specification).
const REGISTER: &str = "org.kde.StatusNotifierWatcher";
/// How long after the session bus could not be reached it is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// How many signals may wait; one is enough to try again.
const QUEUE: usize = 4;

/// Tells when a tray may have come. Made before the first try to show something, so that none is missed
/// between a failed try and the waiting.
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

    /// Waits until a tray may have come. Without a session bus there is nothing to wait for but time.
    pub(crate) async fn may_have_come(&mut self) {
        let Some(signals) = &mut self.signals else {
            sleep(RETRY).await;
            self.signals = subscribe().await;
            return;
        };
        let told = tokio::select! {
            signal = signals.register_came.next() => signal,
            signal = signals.host_came.next() => signal,
        };
        if !matches!(told, Some(Ok(_))) {
            self.signals = None;
        }
    }
}

async fn subscribe() -> Option<Signals> {
    match try_subscribe().await {
        Ok(signals) => Some(signals),
        Err(error) => {
            tracing::debug!(%error, "there is no session bus to wait for a tray on");
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
