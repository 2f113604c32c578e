//! Helper with another protocol version.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use slipway_cluster_tests::program;
use slipway_helper_api::frame::{Decoder, encode};
use slipway_helper_api::{Build, HelperRefusal, Reply, Request, Version};

/// A helper that listens in the target folder, which the laptop sees too.
pub(crate) struct OtherHelper {
    socket: PathBuf,
    ends: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl OtherHelper {
    pub(crate) fn of_the_next_epoch() -> OtherHelper {
        let socket = program("slipway").with_file_name(format!("other-{}.sock", std::process::id()));
        // A socket of an earlier run may exist.
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let until = ends.clone();
        let serving = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if until.load(Ordering::Acquire) {
                    return;
                }
                answer(stream.unwrap());
            }
        });
        OtherHelper {
            socket,
            ends,
            serving: Some(serving),
        }
    }

    pub(crate) fn socket(&self) -> &str {
        self.socket.to_str().unwrap()
    }
}

impl Drop for OtherHelper {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        // The connection wakes the thread, so that it ends.
        let _ = UnixStream::connect(&self.socket);
        let _ = self.serving.take().map(JoinHandle::join);
        let _ = fs::remove_file(&self.socket);
    }
}

/// Refuses the first message, whose form all versions share.
fn answer(mut stream: UnixStream) {
    let mut decoder = Decoder::default();
    let mut bytes = [0; 1024];
    let hello = loop {
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(read) => decoder.push(&bytes[..read]),
        }
        if let Some(Request::Hello(hello)) = decoder.message().unwrap() {
            break hello;
        }
    };
    let refusal = HelperRefusal::VersionMismatch {
        client: Version {
            epoch: hello.epoch,
            revision: hello.revision,
        },
        client_build: hello.build,
        helper: Version {
            epoch: hello.epoch + 1,
            revision: 1,
        },
        helper_build: Build::try_from("99.0.0".to_owned()).unwrap(),
    };
    // The client may have closed the connection.
    let _ = stream.write_all(&encode(&Reply::Refused(refusal)).unwrap());
}
