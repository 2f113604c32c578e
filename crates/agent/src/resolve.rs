//! Resolver for DNS questions, with the pod's own name servers.
//!
//! A question is a whole message and is forwarded unchanged except for its ID, so that every type of record works. The
//! laptop expands names; of the pod's search domains, only the cluster domain is sent to it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use slipway_tunnel::AskError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use self::question::{Question, is_truncated};

mod question;

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Limit for one name server before the next one is asked.
const PER_SERVER: Duration = Duration::from_millis(1500);

/// Number of passes through the list of name servers.
const ROUNDS: usize = 2;

/// Largest UDP answer that is accepted, in bytes; more than any name server sends (RFC 6891 section 6.2.5).
const MOST_UDP: usize = 8 * 1024;

/// Name servers of the pod.
#[derive(Debug)]
pub(crate) struct NameServers(Vec<SocketAddr>);

/// Reads the pod's resolver configuration: its name servers and the cluster domain.
pub(crate) fn of_the_pod() -> (NameServers, Option<String>) {
    let text = fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    let servers = parse(&text);
    if servers.is_empty() {
        tracing::warn!("{RESOLV_CONF} has no name server; the cluster's names cannot be resolved");
    }
    (NameServers(servers), cluster_domain(&text))
}

impl NameServers {
    /// Asks the servers one after another, and returns the first answer.
    pub(crate) async fn ask(&self, message: &[u8]) -> Result<Bytes, AskError> {
        let mut error = AskError::Unreachable;
        for server in std::iter::repeat_n(&self.0, ROUNDS).flatten() {
            // Use a new ID for each attempt, so that a late answer to an earlier one is ignored.
            let question = Question::new(message).ok_or(AskError::Unreachable)?;
            match tokio::time::timeout(PER_SERVER, ask_one(*server, &question)).await {
                Ok(Ok(answer)) => return Ok(question.restore_id(answer)),
                Ok(Err(cause)) => tracing::debug!(%server, %cause, "name server did not answer"),
                Err(_) => error = AskError::TimedOut,
            }
        }
        Err(error)
    }
}

async fn ask_one(server: SocketAddr, question: &Question) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    // Use a socket for each question, so that the kernel chooses a random port.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question.message()).await?;
    let mut answer = vec![0; MOST_UDP];
    loop {
        let length = socket.recv(&mut answer).await?;
        let answered = answer
            .get(..length)
            .is_some_and(|answer| question.is_answered_by(answer));
        // A forged answer must not end the wait for the real one.
        if !answered {
            continue;
        }
        if is_truncated(&answer) {
            return ask_by_tcp(server, question).await;
        }
        answer.truncate(length);
        return Ok(answer);
    }
}

/// Repeats a question over TCP after a truncated answer (RFC 7766).
async fn ask_by_tcp(server: SocketAddr, question: &Question) -> io::Result<Vec<u8>> {
    let message = question.message();
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut socket = TcpStream::connect(server).await?;
    socket
        .write_all(&[&length.to_be_bytes(), message].concat())
        .await?;
    let mut answer = vec![0; socket.read_u16().await?.into()];
    socket.read_exact(&mut answer).await?;
    if question.is_answered_by(&answer) {
        Ok(answer)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn parse(resolv_conf: &str) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address: IpAddr = words
            .next()
            .filter(|word| *word == "nameserver")
            .and_then(|_| words.next())?
            .parse()
            .ok()?;
        Some(SocketAddr::new(address, 53))
    };
    resolv_conf.lines().filter_map(server).collect()
}

/// Returns the cluster domain. The kubelet sets the search domains `NAMESPACE.svc.DOMAIN`, `svc.DOMAIN` and `DOMAIN`,
/// followed by those of the node. The cluster domain is what follows `svc` in two of them.
fn cluster_domain(resolv_conf: &str) -> Option<String> {
    let mut lists = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("search")).then(|| words.map(|word| word.trim_end_matches('.')).collect())
    });
    // Of several lists the last one counts (resolv.conf(5)).
    let search: Vec<&str> = lists.next_back()?;
    let domain = search.iter().find_map(|entry| {
        let (_namespace, services) = entry.split_once('.')?;
        let domain = services.strip_prefix("svc.")?;
        (search.contains(&services) && !domain.is_empty()).then_some(domain)
    });
    domain.map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const QUESTION: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\0\0\x01\0\x01";

    #[test]
    fn only_name_servers_are_read_from_resolv_conf() {
        let text = "search shop.svc.cluster.local\nnameserver 10.96.0.10\n# nameserver 1.1.1.1\n\
                    options ndots:5\nnameserver\nnameserver fd00::a extra\nnameserver nonsense\n";
        let expected: [SocketAddr; 2] = ["10.96.0.10:53".parse().unwrap(), "[fd00::a]:53".parse().unwrap()];
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn the_cluster_domain_is_read_from_resolv_conf() {
        for (search, domain) in [
            (
                "shop.svc.cluster.local svc.cluster.local cluster.local",
                Some("cluster.local"),
            ),
            (
                "shop.svc.K8s.example. svc.K8s.example. K8s.example. corp.internal",
                Some("k8s.example"),
            ),
            ("shop.svc.lab svc.lab lab", Some("lab")),
            ("corp.internal svc.corp.internal", None),
            ("shop.svc.corp.internal corp.internal", None),
            ("shop.svc. svc.", None),
            ("", None),
        ] {
            let text = format!("nameserver 10.96.0.10\nsearch first.svc.no svc.no\nsearch {search}\n");
            assert_eq!(cluster_domain(&text).as_deref(), domain, "{search}");
        }
        assert_eq!(cluster_domain("nameserver 10.96.0.10\n"), None);
    }

    /// Returns the answer of a server to a question.
    fn answer_to(question: &[u8]) -> Vec<u8> {
        let mut answer = question.to_vec();
        answer[2] |= 0x80;
        answer
    }

    #[tokio::test]
    async fn a_forged_answer_is_ignored() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let names = NameServers(vec![server.local_addr().unwrap()]);
        let answering = async {
            let mut ids = Vec::new();
            for _ in 0..2 {
                let mut question = [0; 512];
                let (length, from) = server.recv_from(&mut question).await.unwrap();
                let question = &question[..length];
                // A forger may know the question and guess the port, or guess the ID as well but arrive late.
                let mut forged = answer_to(question);
                forged[..2].copy_from_slice(&QUESTION[..2]);
                forged[3] = 0xee;
                server.send_to(&forged, from).await.unwrap();
                let mut other_name = answer_to(question);
                other_name[13] = b'v';
                server.send_to(&other_name, from).await.unwrap();
                server.send_to(&answer_to(question), from).await.unwrap();
                ids.push(question[..2].to_vec());
            }
            ids
        };
        let asking = async { [names.ask(QUESTION).await, names.ask(QUESTION).await] };
        let (answers, ids) = tokio::join!(asking, answering);
        for answer in answers {
            assert_eq!(answer.unwrap(), answer_to(QUESTION));
        }
        assert_ne!(ids[0], ids[1]);
    }

    #[tokio::test]
    async fn a_truncated_answer_is_repeated_over_tcp() {
        let by_tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = by_tcp.local_addr().unwrap();
        let by_udp = UdpSocket::bind(address).await.unwrap();
        let names = NameServers(vec![address]);
        let answering = async {
            let mut question = [0; 512];
            let (length, from) = by_udp.recv_from(&mut question).await.unwrap();
            question[2] |= 0x82;
            by_udp.send_to(&question[..length], from).await.unwrap();
            let (mut socket, _) = by_tcp.accept().await.unwrap();
            let mut asked = vec![0; socket.read_u16().await.unwrap().into()];
            socket.read_exact(&mut asked).await.unwrap();
            let answer = [answer_to(&asked), vec![7; 1500]].concat();
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            socket.write_all(&[&length[..], &answer].concat()).await.unwrap();
            asked
        };
        let (answer, asked) = tokio::join!(names.ask(QUESTION), answering);
        assert_eq!(asked[2..], QUESTION[2..]);
        assert_eq!(answer.unwrap(), [answer_to(QUESTION), vec![7; 1500]].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_to_a_silent_server_times_out() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let names = NameServers(vec![silent.local_addr().unwrap()]);
        assert_eq!(names.ask(QUESTION).await, Err(AskError::TimedOut));
    }
}
