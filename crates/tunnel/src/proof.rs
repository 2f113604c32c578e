//! Mutual proof with which each carrier begins.
//!
//! Both ends hold the session's key. Each proves that before the other acts on anything it sends. The proof covers fresh
//! random bytes of both ends and every field that was exchanged:
//!
//! ```text
//! client ─► magic, version, features, client nonce
//! agent  ─► magic, version, features, agent nonce, instance, domain, HMAC(key, "agent" | all of the above)
//! client ─► tunnel, HMAC(key, "client" | all of the above, tunnel)
//! ```
//!
//! Frames may follow the client's last message at once: one round trip in all. `instance` identifies one run of an agent,
//! `tunnel` one run of a session. A carrier with a known tunnel joins it; one with another tunnel begins a new one.
//! `domain` is the cluster domain, which only a pod knows. A session needs it before it resolves the first name, from a
//! new agent and from one that it found.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use slipway_key::Key;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Version of the protocol, as `docs/tunnel-protocol.md` specifies it.
pub const VERSION: u16 = 2;

const MAGIC: [u8; 4] = *b"SLWY";
const NONCE: usize = 32;
const MAC: usize = 32;
const HELLO: usize = 4 + 2 + 4 + NONCE;
const INSTANCE: usize = 8;
const ATTACH: usize = 8;

/// Data that an agent sends to a client in its proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Random number that identifies this run of the agent.
    pub instance: u64,
    /// Cluster domain as the agent's pod knows it, at most 255 bytes. A longer one is not sent.
    pub domain: Option<String>,
}

impl Introduction {
    fn write(&self) -> Vec<u8> {
        let domain = self.domain.as_deref().unwrap_or_default();
        let (length, domain) = u8::try_from(domain.len()).map_or((0, ""), |length| (length, domain));
        [&self.instance.to_be_bytes()[..], &[length], domain.as_bytes()].concat()
    }
}

fn mac(key: &Key, role: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new(&pad_to_block(key.expose()).into());
    mac.update(role);
    for part in parts {
        mac.update(part);
    }
    mac
}

/// Pads a key with zeros to the block size of the hash, as HMAC does (RFC 2104 section 2).
fn pad_to_block(key: &[u8; 32]) -> [u8; 64] {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    block
}

/// Reason for which the proof failed.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The system returned no random bytes.
    #[error("the system returned no random bytes")]
    NoRandom,
    /// The peer does not speak this protocol.
    #[error("the peer does not speak Slipway's tunnel protocol")]
    NotATunnel,
    /// The peer speaks another version of the protocol.
    #[error("the peer speaks version {theirs} of the tunnel protocol, and this end speaks version {VERSION}")]
    Version {
        /// The peer's version.
        theirs: u16,
    },
    /// The peer does not hold the session's key.
    #[error("the peer does not have this session's key")]
    WrongKey,
    /// The peer did not answer in time.
    #[error("the peer did not answer within {0:?}")]
    TimedOut(Duration),
    /// The carrier broke.
    #[error("the carrier broke during the proof")]
    Broken(#[from] std::io::Error),
}

/// Runs the client's side of the proof, and returns the agent's introduction. `tunnel` identifies this run of the
/// session.
///
/// # Errors
///
/// Returns [`ProofError`]; the carrier must not be used then.
pub async fn prove_to_agent<R, W>(
    key: &Key,
    tunnel: u64,
    reader: &mut R,
    writer: &mut W,
    limit: Duration,
) -> Result<Introduction, ProofError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    within(limit, async {
        let hello = hello()?;
        writer.write_all(&hello).await?;
        writer.flush().await?;

        let mut welcome = vec![0; HELLO];
        reader.read_exact(&mut welcome).await?;
        check_hello(&welcome)?;
        let mut instance = [0; INSTANCE];
        reader.read_exact(&mut instance).await?;
        let length = reader.read_u8().await?;
        let mut domain = vec![0; length.into()];
        reader.read_exact(&mut domain).await?;
        welcome.extend(instance.iter().chain(&[length]).chain(&domain));
        let mut proof = [0; MAC];
        reader.read_exact(&mut proof).await?;
        mac(key, b"slipway agent", &[&hello, &welcome])
            .verify_slice(&proof)
            .map_err(|_| ProofError::WrongKey)?;

        let attach: [u8; ATTACH] = tunnel.to_be_bytes();
        let proof = mac(key, b"slipway client", &[&hello, &welcome, &attach])
            .finalize()
            .into_bytes();
        let mut message = [0; ATTACH + MAC];
        message[..ATTACH].copy_from_slice(&attach);
        message[ATTACH..].copy_from_slice(&proof);
        writer.write_all(&message).await?;
        writer.flush().await?;
        Ok(Introduction {
            instance: u64::from_be_bytes(instance),
            domain: String::from_utf8(domain).ok().filter(|domain| !domain.is_empty()),
        })
    })
    .await
}

/// Runs the agent's side of the proof, and returns the number that identifies the run of the session.
///
/// # Errors
///
/// Returns [`ProofError`]; the carrier must not be used then.
pub async fn prove_to_client<R, W>(
    key: &Key,
    introduction: &Introduction,
    reader: &mut R,
    writer: &mut W,
    limit: Duration,
) -> Result<u64, ProofError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    within(limit, async {
        let mut hello_of_client = [0; HELLO];
        reader.read_exact(&mut hello_of_client).await?;
        check_hello(&hello_of_client)?;

        let welcome = [&hello()?[..], &introduction.write()].concat();
        let proof = mac(key, b"slipway agent", &[&hello_of_client, &welcome])
            .finalize()
            .into_bytes();
        writer.write_all(&[&welcome[..], &proof].concat()).await?;
        writer.flush().await?;

        let mut message = [0; ATTACH + MAC];
        reader.read_exact(&mut message).await?;
        let (attach, proof) = message.split_at(ATTACH);
        mac(key, b"slipway client", &[&hello_of_client, &welcome, attach])
            .verify_slice(proof)
            .map_err(|_| ProofError::WrongKey)?;
        Ok(u64_at_end(attach))
    })
    .await
}

async fn within<T>(
    limit: Duration,
    proof: impl Future<Output = Result<T, ProofError>>,
) -> Result<T, ProofError> {
    tokio::time::timeout(limit, proof)
        .await
        .unwrap_or(Err(ProofError::TimedOut(limit)))
}

fn hello() -> Result<[u8; HELLO], ProofError> {
    let mut hello = [0; HELLO];
    hello[..4].copy_from_slice(&MAGIC);
    hello[4..6].copy_from_slice(&VERSION.to_be_bytes());
    // Bytes 6 to 10 are flags of optional features; version 2 has none and ignores those of its peer.
    getrandom::fill(&mut hello[10..]).map_err(|_| ProofError::NoRandom)?;
    Ok(hello)
}

fn check_hello(hello: &[u8]) -> Result<(), ProofError> {
    if hello[..4] != MAGIC {
        return Err(ProofError::NotATunnel);
    }
    let theirs = u16::from_be_bytes([hello[4], hello[5]]);
    if theirs != VERSION {
        return Err(ProofError::Version { theirs });
    }
    Ok(())
}

fn u64_at_end(bytes: &[u8]) -> u64 {
    bytes
        .last_chunk::<8>()
        .map_or(0, |last| u64::from_be_bytes(*last))
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    fn introduction() -> Introduction {
        Introduction {
            instance: 9,
            domain: Some("k8s.example".to_owned()),
        }
    }

    async fn meet(client: Key, agent: Key) -> (Result<Introduction, ProofError>, Result<u64, ProofError>) {
        let (near, far) = duplex(4096);
        let (mut near_read, mut near_write) = tokio::io::split(near);
        let (mut far_read, mut far_write) = tokio::io::split(far);
        tokio::join!(
            async move {
                let outcome = prove_to_agent(&client, 7, &mut near_read, &mut near_write, LIMIT).await;
                drop((near_read, near_write));
                outcome
            },
            async move { prove_to_client(&agent, &introduction(), &mut far_read, &mut far_write, LIMIT).await },
        )
    }

    #[tokio::test]
    async fn two_ends_with_one_key_learn_each_others_name() {
        let key = Key::generate().unwrap();
        let (client, agent) = meet(key.clone(), key).await;
        assert_eq!(client.unwrap(), introduction());
        assert_eq!(agent.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_forged_domain_fails_the_proof() {
        let key = Key::generate().unwrap();
        let (near, far) = duplex(4096);
        let (mut near_read, mut near_write) = tokio::io::split(near);
        let (relayed, agents) = duplex(4096);
        let (mut agent_read, mut agent_write) = tokio::io::split(agents);
        let said = introduction();
        let agent = prove_to_client(&key, &said, &mut agent_read, &mut agent_write, LIMIT);
        let client = prove_to_agent(&key, 7, &mut near_read, &mut near_write, LIMIT);
        let liar = async {
            let (mut from_client, mut to_client) = tokio::io::split(far);
            let (mut from_agent, mut to_agent) = tokio::io::split(relayed);
            let mut hello = [0; HELLO];
            from_client.read_exact(&mut hello).await.unwrap();
            to_agent.write_all(&hello).await.unwrap();
            let mut welcome = [0; HELLO + INSTANCE + 1 + 11 + MAC];
            from_agent.read_exact(&mut welcome).await.unwrap();
            welcome[HELLO + INSTANCE + 1] ^= 1;
            to_client.write_all(&welcome).await.unwrap();
            // Keep the pipes open while the client decides: otherwise the agent would see the end of the carrier.
            (from_client, to_client, from_agent, to_agent)
        };
        let outcome = tokio::select! {
            outcome = async { tokio::join!(client, liar).0 } => outcome,
            _ = agent => unreachable!("the client sends nothing to an agent that lied"),
        };
        assert!(matches!(outcome, Err(ProofError::WrongKey)));
    }

    #[test]
    fn a_domain_that_does_not_fit_is_none() {
        let long = Introduction {
            instance: 1,
            domain: Some("a".repeat(256)),
        };
        assert_eq!(long.write(), [0, 0, 0, 0, 0, 0, 0, 1, 0]);
    }

    #[tokio::test]
    async fn an_end_without_the_key_is_refused() {
        let (client, agent) = meet(Key::generate().unwrap(), Key::generate().unwrap()).await;
        assert!(matches!(client, Err(ProofError::WrongKey)));
        assert!(
            matches!(agent, Err(ProofError::Broken(_))),
            "the client sends nothing to a false agent"
        );
    }

    #[tokio::test]
    async fn a_client_that_replays_another_clients_proof_is_refused() {
        let key = Key::generate().unwrap();
        let (near, far) = duplex(4096);
        let (mut near_read, mut near_write) = tokio::io::split(near);
        let (mut far_read, mut far_write) = tokio::io::split(far);
        let nameless = Introduction {
            instance: 9,
            domain: None,
        };
        let agent = prove_to_client(&key, &nameless, &mut far_read, &mut far_write, LIMIT);
        let thief = async {
            near_write.write_all(&hello().unwrap()).await.unwrap();
            let mut answer = [0; HELLO + INSTANCE + 1 + MAC];
            near_read.read_exact(&mut answer).await.unwrap();
            let mut message = [0; ATTACH + MAC];
            message[ATTACH..].copy_from_slice(&answer[HELLO + INSTANCE + 1..]);
            near_write.write_all(&message).await.unwrap();
        };
        assert!(matches!(tokio::join!(agent, thief).0, Err(ProofError::WrongKey)));
    }

    #[tokio::test]
    async fn something_else_on_the_port_is_named_as_such() {
        let (near, far) = duplex(4096);
        let (mut read, mut write) = tokio::io::split(near);
        let (_far_read, mut far_write) = tokio::io::split(far);
        far_write
            .write_all(b"HTTP/1.1 400 Bad Request, and some more text that fills a hello\r\n")
            .await
            .unwrap();
        let outcome = prove_to_agent(&Key::generate().unwrap(), 1, &mut read, &mut write, LIMIT).await;
        assert!(matches!(outcome, Err(ProofError::NotATunnel)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_end_is_given_up_after_the_limit() {
        let (near, _far) = duplex(4096);
        let (mut read, mut write) = tokio::io::split(near);
        let outcome = prove_to_agent(&Key::generate().unwrap(), 1, &mut read, &mut write, LIMIT).await;
        assert!(matches!(outcome, Err(ProofError::TimedOut(LIMIT))));
    }

    #[test]
    fn a_key_never_shows_in_debug_output() {
        assert_eq!(format!("{:?}", Key::from_bytes([7; 32])), "Key(..)");
    }
}
