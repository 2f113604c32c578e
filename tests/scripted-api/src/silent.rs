//! Peer that accepts connections and falls silent.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Starts a peer that reads once from each connection, sends `word`, and falls silent. Returns its address, and its tasks,
/// which end when they are dropped.
pub async fn silent_after(word: &'static str) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut held = JoinSet::new();
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            held.spawn(async move {
                let mut bytes = [0; 4096];
                let _ = connection.read(&mut bytes).await;
                connection.write_all(word.as_bytes()).await.unwrap();
                while connection.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    (address, tasks)
}
