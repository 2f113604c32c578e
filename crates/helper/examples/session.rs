//! Session as a separate process, for tests of other users and of killed sessions. It takes a lease, prints that, and
//! keeps the lease until its standard input ends.
#![expect(clippy::print_stdout, reason = "tests read its output")]

use std::io::Read as _;

use slipway_helper_api::{DEFAULT_SOCKET, Route, RouteOrigin};
use slipway_helper_client::{Client, Plan, UpError};
use slipway_problem::Fault as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut client = Client::connect(DEFAULT_SOCKET).await?;
    let status = client.status().await?;
    println!("status is open to all; access: {:?}", status.access);
    let route = Route::new("10.96.0.0/16".parse()?, RouteOrigin::Declared);
    match client.up(&Plan::new([route], None)?, None).await {
        Ok(_lease) => {
            println!("the lease is up");
            let _ = std::io::stdin().read(&mut [0])?;
        }
        Err(UpError::Lost(error)) => println!("{error}"),
        Err(UpError::Refused { refusal, .. }) => {
            let error = slipway_helper_client::ClientError::Refused(refusal);
            println!("{error}: {}", error.remedy());
        }
    }
    Ok(())
}
