//! Address of the session bus.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};

use super::BusError;

/// A socket that the address names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Socket {
    Path(PathBuf),
    /// Name in the kernel's abstract namespace (unix(7)).
    Abstract(Vec<u8>),
}

/// Connects to the session bus.
pub(super) fn connect() -> Result<UnixStream, BusError> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let sockets = match variable("DBUS_SESSION_BUS_ADDRESS") {
        Some(address) => parse(address.as_bytes()),
        // Where a user's bus is without the variable (systemd, dbus-broker).
        None => variable("XDG_RUNTIME_DIR")
            .map(|folder| Socket::Path(Path::new(&folder).join("bus")))
            .into_iter()
            .collect(),
    };
    let mut detail = "there is no session bus".to_owned();
    for socket in sockets {
        let connected = match &socket {
            Socket::Path(path) => UnixStream::connect(path),
            Socket::Abstract(name) => {
                SocketAddr::from_abstract_name(name).and_then(|address| UnixStream::connect_addr(&address))
            }
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => detail = format!("the session bus cannot be reached: {error}"),
        }
    }
    Err(BusError::Absent(detail))
}

/// Returns the sockets of an address (D-Bus specification, "Server Addresses"). Other transports are passed over.
fn parse(address: &[u8]) -> Vec<Socket> {
    let addresses = address.split(|byte| *byte == b';');
    addresses
        .filter_map(|one| one.strip_prefix(b"unix:"))
        .filter_map(socket)
        .collect()
}

fn socket(pairs: &[u8]) -> Option<Socket> {
    pairs.split(|byte| *byte == b',').find_map(|pair| {
        if let Some(path) = pair.strip_prefix(b"path=") {
            return Some(Socket::Path(OsString::from_vec(unescaped(path)?).into()));
        }
        Some(Socket::Abstract(unescaped(pair.strip_prefix(b"abstract=")?)?))
    })
}

/// Decodes `%` with two hexadecimal digits.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        plain.push(u8::try_from(value).ok()?);
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_sockets() {
        let path = |path: &str| Socket::Path(path.into());
        for (address, sockets) in [
            ("unix:path=/run/user/1000/bus", vec![path("/run/user/1000/bus")]),
            ("unix:path=/tmp/a%20b,guid=12ab", vec![path("/tmp/a b")]),
            (
                "unix:guid=12,abstract=/tmp/dbus-x",
                vec![Socket::Abstract(b"/tmp/dbus-x".to_vec())],
            ),
            (
                "tcp:host=x,port=1;unix:path=/a;unix:path=/b",
                vec![path("/a"), path("/b")],
            ),
            ("unix:tmpdir=/tmp", vec![]),
            ("unix:path=%zz", vec![]),
            ("unix:path=%2", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(parse(address.as_bytes()), sockets, "{address}");
        }
    }
}
