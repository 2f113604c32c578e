//! Self-test of rewriting: whether a connection through the TUN arrives at the listener. A firewall may drop it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::timeout;

use crate::TunAddresses;

/// The port of the TUN's other address that the self-test connects to: no service has it (RFC 7605), and other
/// connections to it are refused.
pub(crate) const SELF_TEST_PORT: u16 = 0xffff;
/// How long one attempt may take. It takes less than a millisecond, but the laptop may be busy.
const PER_ATTEMPT: Duration = Duration::from_millis(300);
const ATTEMPTS: u32 = 3;

/// Connects through the TUN. `expect` gets the address from which the connection comes.
pub(crate) async fn passes(addresses: TunAddresses, expect: impl Fn(SocketAddr)) -> io::Result<()> {
    let mut outcome = Ok(());
    for _ in 0..ATTEMPTS {
        let socket = if addresses.laptop.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.bind((addresses.laptop, 0).into())?;
        expect(socket.local_addr()?);
        let connected = timeout(
            PER_ATTEMPT,
            socket.connect((addresses.other, SELF_TEST_PORT).into()),
        )
        .await;
        outcome = match connected {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => Err(error),
            Err(elapsed) => Err(elapsed.into()),
        };
    }
    outcome
}
