use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use bytes::BytesMut;
use proptest::prelude::*;

use super::schedule::BATCH_FRAMES;
use super::*;
use crate::frame::{HEAD, MAX_DATA};

const TO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 80);

fn limits() -> Limits {
    Limits {
        first_credit: 300,
        least_in_flight: 500,
        ack_every: 100,
        send_buffer: 200,
        ..Limits::default()
    }
}

#[test]
fn pieces_of_a_bulk_transfer_wait_for_a_conversation() {
    let mut world = World::new(Limits::default());
    world.attach();
    let bulk = world.open();
    world.settle();
    for _ in 0..4 {
        world.client.write(bulk, Bytes::from(vec![0; 60_000])).unwrap();
    }
    let talk = world.client.open(TO, world.now).unwrap();
    let mut frames = Vec::new();
    let carrier = world.links[0].as_ref().unwrap().at_client;
    world.client.next_batch(carrier, world.now, &mut frames);
    assert!(
        matches!(frames[0], Frame::Open { stream, .. } if stream == talk),
        "control precedes all data: {:?}",
        frames[0]
    );
}

#[test]
fn the_first_of_two_carriers_is_free_of_bulk() {
    let mut world = World::new(Limits::default());
    world.attach();
    world.attach();
    let bulk = world.open();
    world.settle();
    // Write beyond the part of a stream that counts as a conversation.
    for _ in 0..8 {
        world.client.write(bulk, Bytes::from(vec![0; 50_000])).unwrap();
    }
    let [first, second] = [0, 1].map(|link| world.links[link].as_ref().unwrap().at_client);
    let data = |core: &mut Core, carrier, now| {
        let mut frames = Vec::new();
        while core.next_batch(carrier, now, &mut frames) > 0 && frames.len() < BATCH_FRAMES {}
        frames
            .iter()
            .filter(|frame| matches!(frame, Frame::Data { .. }))
            .map(Frame::wire_length)
            .sum::<usize>()
    };
    assert!(
        data(&mut world.client, first, world.now) <= 2 * MAX_DATA,
        "no more than a conversation's worth"
    );
    assert!(data(&mut world.client, second, world.now) > 2 * MAX_DATA);
}

#[test]
fn a_conversation_does_not_follow_bulk_data() {
    let mut world = World::new(Limits::default());
    world.attach();
    world.attach();
    let [first, second] = [0, 1].map(|link| world.links[link].as_ref().unwrap().at_client);
    let (bulk, talk) = (world.open(), world.open());
    world.settle();
    for _ in 0..5 {
        world.client.write(bulk, Bytes::from(vec![0; 50_000])).unwrap();
    }
    world.client.write(talk, Bytes::from_static(b"x")).unwrap();
    let sends = |core: &mut Core, carrier, now| {
        let mut frames = Vec::new();
        core.next_batch(carrier, now, &mut frames);
        frames
            .iter()
            .any(|frame| matches!(frame, Frame::Data { stream, .. } if *stream == talk))
    };
    assert!(
        !sends(&mut world.client, second, world.now),
        "it would wait behind the bulk data"
    );
    assert!(sends(&mut world.client, first, world.now));
    // Without the first carrier, the other one takes it.
    world.client.lose(first);
    world.client.write(talk, Bytes::from_static(b"y")).unwrap();
    assert!(sends(&mut world.client, second, world.now));
}

#[test]
fn bulk_data_that_begins_on_the_first_carrier_goes_on_over_the_second() {
    let mut world = World::new(Limits::default());
    world.attach();
    world.attach();
    let [first, second] = [0, 1].map(|link| world.links[link].as_ref().unwrap().at_client);
    let bulk = world.open();
    world.settle();
    let sends = |core: &mut Core, carrier, now| core.next_batch(carrier, now, &mut Vec::new());
    // Both writers are idle. The first one sends what counts as a conversation.
    assert_eq!(
        (
            sends(&mut world.client, first, world.now),
            sends(&mut world.client, second, world.now)
        ),
        (0, 0)
    );
    for _ in 0..5 {
        world.client.write(bulk, Bytes::from(vec![0; 50_000])).unwrap();
    }
    while sends(&mut world.client, first, world.now) > 0 {}
    assert!(!world.client.carriers[&second].idle, "nobody else takes the rest");
}

#[test]
fn an_extra_carrier_makes_the_others_suspected() {
    let mut world = World::new(Limits::default());
    for _ in 0..CARRIERS {
        world.attach();
    }
    world.settle();
    let first = world.links[0].as_ref().unwrap().at_agent;
    let late = world.now + world.agent.limits().dead_after_suspicion;
    assert_eq!(world.agent.tick(first, late), Life::Alive, "idle, not dead");
    world.attach();
    assert_eq!(world.agent.tick(first, late), Life::Dead);
}

#[test]
fn a_peer_that_acts_out_of_its_role_is_refused() {
    let mut world = World::new(limits());
    world.attach();
    let carrier = world.links[0].as_ref().unwrap().at_client;
    let open = Frame::Open {
        stream: StreamId(1),
        to: TO,
        credit: 1,
    };
    assert_eq!(
        world.client.receive(carrier, open, world.now, &mut Vec::new()),
        Err(Breach)
    );
}

#[test]
fn a_stream_that_exceeds_its_credit_is_reset_alone() {
    let mut world = World::new(limits());
    world.attach();
    let (bad, good) = (world.open(), world.open());
    world.settle();
    let carrier = world.links[0].as_ref().unwrap().at_agent;
    let too_far = Frame::Data {
        stream: bad,
        offset: 299,
        payload: Bytes::from_static(b"ab"),
    };
    world
        .agent
        .receive(carrier, too_far, world.now, &mut Vec::new())
        .unwrap();
    world.settle();
    assert_eq!(world.client.room(bad, &no_waker()), Some(Err(ResetCause::Reset)));
    assert!(matches!(world.client.room(good, &no_waker()), Some(Ok(_))));
}

#[test]
fn a_stalled_reader_holds_its_credit_and_no_more() {
    let mut world = World::new(limits());
    world.attach();
    let (stalled, free) = (world.open(), world.open());
    world.settle();
    let mut arrived = 0;
    for _ in 0..50 {
        for stream in [stalled, free] {
            if world.agent.room(stream, &no_waker()).is_some() {
                world.agent.write(stream, Bytes::from(vec![7; 100])).unwrap();
            }
        }
        world.settle();
        while let Some(Ok(Some(bytes))) = world.client.read(free, world.now, &no_waker()) {
            arrived += bytes.len();
        }
        world.settle();
    }
    assert!(arrived >= 4900, "the other stream continues: {arrived}");
    assert_eq!(
        world.client.held, 300,
        "the stalled stream holds its first credit"
    );
}

#[test]
fn a_waiting_writer_is_woken_when_there_is_room() {
    let mut world = World::new(limits());
    world.attach();
    let stream = world.open();
    world.settle();
    let waker = Arc::new(Count::default());
    world.client.write(stream, Bytes::from(vec![0; 200])).unwrap();
    assert_eq!(world.client.room(stream, &Waker::from(waker.clone())), None);
    world.settle();
    assert_eq!(waker.0.load(Ordering::Relaxed), 1);
}

#[test]
fn a_stream_that_ended_well_leaves_nothing_behind() {
    let mut world = World::new(limits());
    world.attach();
    let stream = world.open();
    world.settle();
    world
        .client
        .write(stream, Bytes::from_static(b"question"))
        .unwrap();
    world.client.finish(stream);
    world.settle();
    assert_eq!(
        world.agent.read(stream, world.now, &no_waker()),
        Some(Ok(Some(Bytes::from_static(b"question"))))
    );
    assert_eq!(world.agent.read(stream, world.now, &no_waker()), Some(Ok(None)));
    world.agent.write(stream, Bytes::from_static(b"answer")).unwrap();
    world.agent.finish(stream);
    world.agent.detach(stream);
    world.settle();
    assert_eq!(
        world.client.read(stream, world.now, &no_waker()),
        Some(Ok(Some(Bytes::from_static(b"answer"))))
    );
    assert_eq!(world.client.read(stream, world.now, &no_waker()), Some(Ok(None)));
    world.client.detach(stream);
    world.settle();
    assert_eq!((world.client.stream_count(), world.agent.stream_count()), (0, 0));
}

#[test]
fn a_stream_given_up_is_reset_at_the_other_end() {
    let mut world = World::new(limits());
    world.attach();
    let stream = world.open();
    world.settle();
    world.client.detach(stream);
    world.settle();
    assert_eq!(
        world.agent.read(stream, world.now, &no_waker()),
        Some(Err(ResetCause::Cancelled))
    );
    world.agent.detach(stream);
    assert_eq!((world.client.stream_count(), world.agent.stream_count()), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Attach,
    /// Loses a carrier after some of its bytes have arrived at each end.
    Cut {
        link: usize,
        to_agent: usize,
        to_client: usize,
    },
    /// Lets a writer put its next batch on a carrier.
    Send {
        link: usize,
        client: bool,
    },
    /// Lets some of the bytes on a carrier arrive.
    Arrive {
        link: usize,
        client: bool,
        bytes: usize,
    },
    Write {
        stream: usize,
        client: bool,
        bytes: usize,
    },
    Read {
        stream: usize,
        client: bool,
    },
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    let link = 0..4usize;
    let stream = 0..3usize;
    prop_oneof![
        1 => Just(Step::Attach),
        1 => (link.clone(), 0..400usize, 0..400usize)
            .prop_map(|(link, to_agent, to_client)| Step::Cut { link, to_agent, to_client }),
        6 => (link.clone(), any::<bool>()).prop_map(|(link, client)| Step::Send { link, client }),
        8 => (link, any::<bool>(), 1..600usize)
            .prop_map(|(link, client, bytes)| Step::Arrive { link, client, bytes }),
        6 => (stream.clone(), any::<bool>(), 1..150usize)
            .prop_map(|(stream, client, bytes)| Step::Write { stream, client, bytes }),
        4 => (stream, any::<bool>()).prop_map(|(stream, client)| Step::Read { stream, client }),
        1 => Just(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Carriers may deliver in any order, and may be lost at any byte.
    #[test]
    fn every_byte_of_every_stream_arrives_once_and_in_order(steps in prop::collection::vec(step(), 0..250)) {
        let mut world = World::new(limits());
        world.attach();
        let streams = [world.open(), world.open(), world.open()];
        let mut ends: Vec<_> = streams.iter().flat_map(|&id| [End::new(id, true), End::new(id, false)]).collect();
        for step in steps {
            world.act(step, &mut ends);
        }
        if world.links.iter().all(Option::is_none) {
            world.attach();
        }
        world.settle();
        for end in &mut ends {
            world.core(end.client).finish(end.stream);
        }
        for _ in 0..200 {
            world.settle();
            for end in &mut ends {
                end.read(&mut world);
            }
        }
        for pair in ends.chunks(2) {
            prop_assert_eq!(&pair[0].got, &pair[1].written);
            prop_assert_eq!(&pair[1].got, &pair[0].written);
            prop_assert!(pair[0].ended && pair[1].ended, "the end of the stream arrived too");
        }
        for end in &ends {
            world.core(end.client).detach(end.stream);
        }
        world.settle();
        prop_assert_eq!((world.client.stream_count(), world.agent.stream_count()), (0, 0));
        prop_assert_eq!((world.client.held, world.agent.held), (0, 0));
    }
}

/// One end of a stream, with the bytes that it wrote and read.
struct End {
    stream: StreamId,
    client: bool,
    written: Vec<u8>,
    got: Vec<u8>,
    ended: bool,
}

impl End {
    fn new(stream: StreamId, client: bool) -> End {
        End {
            stream,
            client,
            written: Vec::new(),
            got: Vec::new(),
            ended: false,
        }
    }

    fn write(&mut self, world: &mut World, bytes: usize) {
        let core = world.core(self.client);
        if let Some(Ok(room)) = core.room(self.stream, &no_waker()) {
            let start = self.written.len();
            let bytes: Vec<u8> = (start..start + bytes.min(room))
                .map(|at| (at * 7 + at / 251) as u8)
                .collect();
            if core.write(self.stream, Bytes::copy_from_slice(&bytes)).is_ok() {
                self.written.extend(bytes);
            }
        }
    }

    fn read(&mut self, world: &mut World) {
        let now = world.now;
        if !world.core(self.client).streams.contains_key(&self.stream) {
            // Its `Open` has not arrived yet.
            return;
        }
        match world.core(self.client).read(self.stream, now, &no_waker()) {
            Some(Ok(Some(bytes))) => self.got.extend_from_slice(&bytes),
            Some(Ok(None)) => self.ended = true,
            Some(Err(cause)) => panic!("a stream was reset: {cause}"),
            None => {}
        }
    }
}

/// Two cores and the carriers between them.
struct World {
    client: Core,
    agent: Core,
    links: Vec<Option<Link>>,
    now: Instant,
}

struct Link {
    at_client: CarrierId,
    at_agent: CarrierId,
    to_agent: BytesMut,
    to_client: BytesMut,
}

impl World {
    fn new(limits: Limits) -> World {
        World {
            client: Core::new(Role::Client, limits.clone()),
            agent: Core::new(Role::Agent, limits),
            links: Vec::new(),
            now: Instant::now(),
        }
    }

    fn core(&mut self, client: bool) -> &mut Core {
        if client { &mut self.client } else { &mut self.agent }
    }

    fn attach(&mut self) {
        let (at_client, _) = self.client.attach(self.now);
        let (at_agent, _) = self.agent.attach(self.now);
        let link = Link {
            at_client,
            at_agent,
            to_agent: BytesMut::new(),
            to_client: BytesMut::new(),
        };
        self.links.push(Some(link));
    }

    fn open(&mut self) -> StreamId {
        self.client.open(TO, self.now).unwrap()
    }

    fn act(&mut self, step: Step, ends: &mut [End]) {
        match step {
            Step::Attach if self.links.iter().flatten().count() < 4 => self.attach(),
            Step::Attach => {}
            Step::Cut {
                link,
                to_agent,
                to_client,
            } => {
                self.arrive(link, false, to_agent);
                self.arrive(link, true, to_client);
                if let Some(link) = self.links.get_mut(link).and_then(Option::take) {
                    self.client.lose(link.at_client);
                    self.agent.lose(link.at_agent);
                }
            }
            Step::Send { link, client } => {
                self.send(link, client);
            }
            Step::Arrive { link, client, bytes } => self.arrive(link, client, bytes),
            Step::Write {
                stream,
                client,
                bytes,
            } => {
                ends[stream * 2 + usize::from(!client)].write(self, bytes);
            }
            Step::Read { stream, client } => ends[stream * 2 + usize::from(!client)].read(self),
            Step::Wait => self.now += Duration::from_millis(7),
        }
    }

    fn send(&mut self, link: usize, client: bool) -> bool {
        let Some(Some(link)) = self.links.get_mut(link) else {
            return false;
        };
        let mut frames = Vec::new();
        if client {
            self.client.next_batch(link.at_client, self.now, &mut frames);
        } else {
            self.agent.next_batch(link.at_agent, self.now, &mut frames);
        }
        let wire = if client {
            &mut link.to_agent
        } else {
            &mut link.to_client
        };
        frames
            .iter()
            .for_each(|frame| wire.extend_from_slice(&crate::frame::tests::wire(frame)));
        !frames.is_empty()
    }

    fn arrive(&mut self, link: usize, client: bool, bytes: usize) {
        let Some(Some(link)) = self.links.get_mut(link) else {
            return;
        };
        let (core, carrier, wire) = if client {
            (&mut self.client, link.at_client, &mut link.to_client)
        } else {
            (&mut self.agent, link.at_agent, &mut link.to_agent)
        };
        // Only whole frames count at a receiver; an incomplete one is lost.
        let mut left = bytes;
        let mut events = Vec::new();
        while let Some(length) = whole_frame(wire).filter(|length| *length <= left) {
            left -= length;
            let frame = Frame::decode(&mut wire.split_to(length).freeze())
                .unwrap()
                .unwrap();
            core.receive(carrier, frame, self.now, &mut events).unwrap();
        }
        for event in events {
            if let Event::Incoming { stream, .. } = event {
                core.accept(stream);
            }
        }
    }

    /// Lets everything in flight arrive.
    fn settle(&mut self) {
        loop {
            let mut moved = false;
            for link in 0..self.links.len() {
                for client in [true, false] {
                    moved |= self.send(link, client);
                    self.arrive(link, !client, usize::MAX);
                }
            }
            if !moved {
                break;
            }
        }
    }
}

fn whole_frame(wire: &BytesMut) -> Option<usize> {
    let head = wire.first_chunk::<HEAD>()?;
    let length = HEAD + u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
    (wire.len() >= length).then_some(length)
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Count>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn no_waker() -> Waker {
    Waker::noop().clone()
}
