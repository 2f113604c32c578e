//! nftables messages that a redirect needs (`linux/netfilter/nf_tables.h`, `linux/netfilter/nfnetlink.h`).
//!
//! They are encoded here because the existing libraries are in C, run `nft`, are under the GPL, or bring 200,000 lines
//! into a privileged process, which needs only one table, two chains and a few kinds of rule.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket,
};

pub(super) const NFPROTO_IPV4: u8 = 2;
pub(super) const NFPROTO_IPV6: u8 = 10;
pub(super) const HOOK_LOCAL_OUT: u32 = 3;

/// Netlink socket to nftables. Dropping it removes the tables that it owns.
#[derive(Debug)]
pub(super) struct NfSocket(OwnedFd);

impl NfSocket {
    pub(super) fn open() -> Result<Self, Errno> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            flags,
            SockProtocol::NetlinkNetFilter,
        )?;
        // Zero: the kernel picks the port number, which identifies the table's owner.
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(fd))
    }

    /// Commits a batch as one transaction.
    pub(super) fn commit(&self, batch: Batch) -> Result<(), Errno> {
        let (messages, last) = batch.finish();
        sendto(
            self.0.as_raw_fd(),
            &messages,
            &NetlinkAddr::new(0, 0),
            MsgFlags::empty(),
        )?;
        // The kernel worked through the batch before send returned, so every answer is here already.
        let mut buffer = vec![0; ANSWER_BUFFER];
        let (mut done, mut failed) = (false, None);
        loop {
            let read = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(read) => read,
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
            for answer in answers(buffer.get(..read).unwrap_or_default()) {
                match answer.errno {
                    0 => done |= answer.sequence == last,
                    errno => failed = failed.or(Some(Errno::from_raw(errno.saturating_abs()))),
                }
            }
        }
        match failed {
            Some(errno) => Err(errno),
            None if done => Ok(()),
            None => Err(Errno::EPROTO),
        }
    }
}

const ANSWER_BUFFER: usize = 32 * 1024;

/// Step of a rule. All values pass through one register.
pub(super) enum Expression<'a> {
    /// Packet mark.
    LoadMark,
    /// Network protocol family.
    LoadFamily,
    /// Transport protocol number.
    LoadTransport,
    /// Source address.
    LoadSource { v6: bool },
    /// Destination address.
    LoadDestination { v6: bool },
    /// Source port of UDP and TCP.
    LoadSourcePort,
    /// Destination port of UDP and TCP.
    LoadDestinationPort,
    /// Leaves the rule unless the loaded value equals this one.
    Equals(&'a [u8]),
    /// Leaves the chain.
    Return,
    /// Sets the connection tracking zone in which the kernel looks for the packet's connection.
    SetZone(u16),
    /// Sends the connection to that port of this host.
    Redirect { port: u16 },
}

/// Base chain of a table.
pub(super) struct Chain<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) hook: u32,
    pub(super) priority: i32,
}

/// Messages of one transaction.
pub(super) struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    pub(super) fn new() -> Self {
        let mut batch = Self {
            bytes: Vec::new(),
            sequence: 0,
        };
        batch.message(
            NFNL_MSG_BATCH_BEGIN,
            NLM_F_REQUEST,
            0,
            NFNL_SUBSYS_NFTABLES,
            |_| {},
        );
        batch
    }

    pub(super) fn add_owned_table(&mut self, name: &str) {
        self.nft(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, |bytes| {
            text(bytes, NFTA_TABLE_NAME, name);
            number(bytes, NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER);
        });
    }

    pub(super) fn add_chain(&mut self, table: &str, chain: Chain<'_>) {
        self.nft(NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, |bytes| {
            text(bytes, NFTA_CHAIN_TABLE, table);
            text(bytes, NFTA_CHAIN_NAME, chain.name);
            nest(bytes, NFTA_CHAIN_HOOK, |bytes| {
                number(bytes, NFTA_HOOK_HOOKNUM, chain.hook);
                attribute(bytes, NFTA_HOOK_PRIORITY, &chain.priority.to_be_bytes());
            });
            text(bytes, NFTA_CHAIN_TYPE, chain.kind);
        });
    }

    pub(super) fn flush_chain(&mut self, table: &str, chain: &str) {
        self.nft(NFT_MSG_DELRULE, 0, |bytes| {
            text(bytes, NFTA_RULE_TABLE, table);
            text(bytes, NFTA_RULE_CHAIN, chain);
        });
    }

    pub(super) fn add_rule(&mut self, table: &str, chain: &str, expressions: &[Expression<'_>]) {
        self.nft(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |bytes| {
            text(bytes, NFTA_RULE_TABLE, table);
            text(bytes, NFTA_RULE_CHAIN, chain);
            nest(bytes, NFTA_RULE_EXPRESSIONS, |bytes| {
                for expression in expressions {
                    expression.write(bytes);
                }
            });
        });
    }

    /// Returns the bytes, and the sequence number of the last message that the kernel acknowledges.
    fn finish(mut self) -> (Vec<u8>, u32) {
        let last = self.sequence.saturating_sub(1);
        self.message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES, |_| {});
        (self.bytes, last)
    }

    fn nft(&mut self, command: u16, flags: u16, body: impl FnOnce(&mut Vec<u8>)) {
        let kind = (NFNL_SUBSYS_NFTABLES << 8) | command;
        self.message(kind, NLM_F_REQUEST | NLM_F_ACK | flags, NFPROTO_INET, 0, body);
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, NFNETLINK_V0]);
        self.bytes.extend(resource.to_be_bytes());
        body(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        if let Some(header) = self.bytes.get_mut(start..start + 4) {
            header.copy_from_slice(&length.to_ne_bytes());
        }
        self.sequence += 1;
    }
}

impl Expression<'_> {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::LoadMark => load_meta(bytes, NFT_META_MARK),
            Self::LoadFamily => load_meta(bytes, NFT_META_NFPROTO),
            Self::LoadTransport => load_meta(bytes, NFT_META_L4PROTO),
            Self::LoadSource { v6: false } => load_payload(bytes, NFT_PAYLOAD_NETWORK_HEADER, 12, 4),
            Self::LoadSource { v6: true } => load_payload(bytes, NFT_PAYLOAD_NETWORK_HEADER, 8, 16),
            Self::LoadSourcePort => load_payload(bytes, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2),
            Self::LoadDestination { v6: false } => load_payload(bytes, NFT_PAYLOAD_NETWORK_HEADER, 16, 4),
            Self::LoadDestination { v6: true } => load_payload(bytes, NFT_PAYLOAD_NETWORK_HEADER, 24, 16),
            Self::LoadDestinationPort => load_payload(bytes, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2),
            Self::Equals(value) => expression(bytes, "cmp", |bytes| {
                number(bytes, NFTA_CMP_SREG, NFT_REG_1);
                number(bytes, NFTA_CMP_OP, NFT_CMP_EQ);
                nest(bytes, NFTA_CMP_DATA, |bytes| {
                    attribute(bytes, NFTA_DATA_VALUE, value)
                });
            }),
            Self::Return => expression(bytes, "immediate", |bytes| {
                number(bytes, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
                nest(bytes, NFTA_IMMEDIATE_DATA, |bytes| {
                    nest(bytes, NFTA_DATA_VERDICT, |bytes| {
                        attribute(bytes, NFTA_VERDICT_CODE, &NFT_RETURN.to_be_bytes());
                    });
                });
            }),
            Self::SetZone(zone) => {
                // Zones are in host byte order.
                load_value(bytes, &zone.to_ne_bytes());
                expression(bytes, "ct", |bytes| {
                    number(bytes, NFTA_CT_KEY, NFT_CT_ZONE);
                    number(bytes, NFTA_CT_SREG, NFT_REG_1);
                });
            }
            Self::Redirect { port } => {
                load_value(bytes, &port.to_be_bytes());
                expression(bytes, "redir", |bytes| {
                    number(bytes, NFTA_REDIR_REG_PROTO_MIN, NFT_REG_1);
                    number(bytes, NFTA_REDIR_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
                });
            }
        }
    }
}

fn load_value(bytes: &mut Vec<u8>, value: &[u8]) {
    expression(bytes, "immediate", |bytes| {
        number(bytes, NFTA_IMMEDIATE_DREG, NFT_REG_1);
        nest(bytes, NFTA_IMMEDIATE_DATA, |bytes| {
            attribute(bytes, NFTA_DATA_VALUE, value);
        });
    });
}

fn load_meta(bytes: &mut Vec<u8>, key: u32) {
    expression(bytes, "meta", |bytes| {
        number(bytes, NFTA_META_KEY, key);
        number(bytes, NFTA_META_DREG, NFT_REG_1);
    });
}

fn load_payload(bytes: &mut Vec<u8>, base: u32, offset: u32, length: u32) {
    expression(bytes, "payload", |bytes| {
        number(bytes, NFTA_PAYLOAD_DREG, NFT_REG_1);
        number(bytes, NFTA_PAYLOAD_BASE, base);
        number(bytes, NFTA_PAYLOAD_OFFSET, offset);
        number(bytes, NFTA_PAYLOAD_LEN, length);
    });
}

fn expression(bytes: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    nest(bytes, NFTA_LIST_ELEM, |bytes| {
        text(bytes, NFTA_EXPR_NAME, name);
        nest(bytes, NFTA_EXPR_DATA, data);
    });
}

fn nest(bytes: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend([0; 4]);
    body(bytes);
    let length = u16::try_from(bytes.len() - start).unwrap_or(u16::MAX);
    if let Some([a, b, c, d]) = bytes.get_mut(start..start + 4) {
        [*a, *b] = length.to_ne_bytes();
        [*c, *d] = (kind | NLA_F_NESTED).to_ne_bytes();
    }
}

fn text(bytes: &mut Vec<u8>, kind: u16, value: &str) {
    let mut value = value.as_bytes().to_vec();
    value.push(0);
    attribute(bytes, kind, &value);
}

fn number(bytes: &mut Vec<u8>, kind: u16, value: u32) {
    attribute(bytes, kind, &value.to_be_bytes());
}

fn attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    // Attributes and messages start at multiples of four.
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

struct Answer {
    sequence: u32,
    /// Zero, or a negative error number.
    errno: i32,
}

/// Extracts the `NLMSG_ERROR` messages; each is an error or an acknowledgment of one message.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut found = Vec::new();
    while let Some((header, body)) = bytes.split_first_chunk::<NLMSG_HEADER>() {
        let [l0, l1, l2, l3, k0, k1, _, _, s0, s1, s2, s3, ..] = *header;
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).unwrap_or(usize::MAX);
        if u16::from_ne_bytes([k0, k1]) == NLMSG_ERROR
            && let Some((errno, _)) = body.split_first_chunk()
        {
            found.push(Answer {
                sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
                errno: i32::from_ne_bytes(*errno),
            });
        }
        bytes = bytes
            .get(length.max(NLMSG_HEADER).next_multiple_of(4)..)
            .unwrap_or_default();
    }
    found
}

const NLMSG_HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NLA_F_NESTED: u16 = 0x8000;

const NFNETLINK_V0: u8 = 0;
const NFNL_SUBSYS_NFTABLES: u16 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
const NFPROTO_INET: u8 = 1;

const NFT_MSG_NEWTABLE: u16 = 0;
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_MSG_DELRULE: u16 = 8;

const NFTA_TABLE_NAME: u16 = 1;
const NFTA_TABLE_FLAGS: u16 = 2;
const NFT_TABLE_F_OWNER: u32 = 0x2;

const NFTA_CHAIN_TABLE: u16 = 1;
const NFTA_CHAIN_NAME: u16 = 3;
const NFTA_CHAIN_HOOK: u16 = 4;
const NFTA_CHAIN_TYPE: u16 = 7;
const NFTA_HOOK_HOOKNUM: u16 = 1;
const NFTA_HOOK_PRIORITY: u16 = 2;

const NFTA_RULE_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_RULE_EXPRESSIONS: u16 = 4;
const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;

const NFT_REG_VERDICT: u32 = 0;
const NFT_REG_1: u32 = 1;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;
const NFTA_VERDICT_CODE: u16 = 1;
const NFT_RETURN: i32 = -5;

const NFTA_META_DREG: u16 = 1;
const NFTA_META_KEY: u16 = 2;
const NFT_META_MARK: u32 = 3;
const NFT_META_NFPROTO: u32 = 15;
const NFT_META_L4PROTO: u32 = 16;

const NFTA_PAYLOAD_DREG: u16 = 1;
const NFTA_PAYLOAD_BASE: u16 = 2;
const NFTA_PAYLOAD_OFFSET: u16 = 3;
const NFTA_PAYLOAD_LEN: u16 = 4;
const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;

const NFTA_CMP_SREG: u16 = 1;
const NFTA_CMP_OP: u16 = 2;
const NFTA_CMP_DATA: u16 = 3;
const NFT_CMP_EQ: u32 = 0;

const NFTA_IMMEDIATE_DREG: u16 = 1;
const NFTA_IMMEDIATE_DATA: u16 = 2;

const NFTA_CT_KEY: u16 = 2;
const NFTA_CT_SREG: u16 = 4;
const NFT_CT_ZONE: u32 = 17;

const NFTA_REDIR_REG_PROTO_MIN: u16 = 1;
const NFTA_REDIR_FLAGS: u16 = 3;
const NF_NAT_RANGE_PROTO_SPECIFIED: u32 = 0x2;
