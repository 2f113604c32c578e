//! Reconnecting: no carrier is left; open connections are kept, and new ones wait.

use slipway_control_api::State;

use crate::connected::{Change, until_change};
use crate::context::{Context, Left};
use crate::holdings::Holdings;

pub(crate) async fn run(context: &Context, holdings: &mut Holdings) -> Result<Change, Left> {
    context.publisher.enter(State::Reconnecting);
    context.step("Waiting for the network. Open connections are kept");
    let change = until_change(context, holdings, Change::Back).await?;
    if let Some(live) = &holdings.live {
        live.method.forget_answers();
    }
    Ok(change)
}
