//! States of a session as types, and the one function that decides which follows.
//!
//! A state owns what it needs and is passed by value. It runs until something happens, an [`Event`], which owns what the
//! state leaves; [`next`] turns that into the next state. So nothing can be in two states, or in a state without what
//! belongs to it.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use slipway_control::ProblemSource;
use slipway_method::{Method, Report, RunningMethod};
use slipway_names::Namespaces;
use slipway_tunnel::PacketReply;
use tokio::sync::{mpsc, watch};

use crate::carriers::Carriers;
use crate::cluster::{Cluster, PlacedAgent};
use crate::exit::Exit;
use crate::extra_hosts::HostsCheck;
use crate::link::Link;

/// A state and what belongs to it.
pub(crate) enum State<C: Cluster> {
    Placing(Prepared<C>),
    Connecting(Placed<C>),
    Connected(Live<C>),
    Reconnecting(Live<C>),
    Ending(Undo<C>, Exit),
}

/// What ended a state.
pub(crate) enum Event<C: Cluster> {
    /// The cluster answers.
    Prepared(Prepared<C>),
    /// It cannot be used, or was not to be.
    NotPrepared(Exit),
    /// There is an agent.
    Placed(Placed<C>),
    NotPlaced(Prepared<C>, Exit),
    /// No carrier leads to the agent.
    NotReached(Placed<C>, Exit),
    /// The agent was reached, and the method does not start.
    NotCaptured(Link<C>, PlacedAgent, Exit),
    /// Programs reach the cluster.
    Connected(Live<C>),
    /// The last carrier is gone.
    CarriersLost(Live<C>),
    /// There is a carrier again.
    CarriersBack(Live<C>),
    /// The agent is gone, or another took its place.
    AgentLost(Live<C>),
    /// A session that was connected ends.
    Left(Live<C>, Exit),
}

/// The laptop's side of a session.
pub(crate) enum Laptop {
    /// Nothing was changed on the laptop.
    Idle {
        method: Box<dyn Method>,
        packets: mpsc::Receiver<PacketReply>,
    },
    /// Programs are captured.
    Captured(Captured),
}

/// A method that runs, and what it has reported.
pub(crate) struct Captured {
    pub(crate) method: Box<dyn RunningMethod>,
    pub(crate) report: watch::Receiver<Report>,
    /// The method's problems, withdrawn when this is dropped.
    pub(crate) problems: ProblemSource,
    pub(crate) hosts: HostsCheck,
}

/// Which agent a session looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantedAgent {
    /// The one that the last session of the profile left, if it still runs.
    Kept,
    /// A new one: the one that was kept, or served this session, is of no use.
    New,
}

/// A session whose cluster answers.
pub(crate) struct Prepared<C> {
    pub(crate) link: Link<C>,
    pub(crate) laptop: Laptop,
    pub(crate) wanted: WantedAgent,
}

/// A session that has an agent.
pub(crate) struct Placed<C> {
    pub(crate) link: Link<C>,
    pub(crate) laptop: Laptop,
    pub(crate) agent: PlacedAgent,
}

/// A session whose programs reach the cluster.
pub(crate) struct Live<C> {
    pub(crate) link: Link<C>,
    pub(crate) captured: Captured,
    pub(crate) agent: PlacedAgent,
    pub(crate) carriers: Carriers,
    /// Names the run of the agent.
    pub(crate) instance: u64,
    pub(crate) namespaces: BoxStream<'static, Namespaces>,
}

/// What has to be taken back when a session ends.
pub(crate) enum Undo<C> {
    Nothing,
    /// An agent that this session placed and that never served it.
    Agent(Arc<C>, PlacedAgent),
    /// The capture. The agent stays for its grace time, for a session that comes back soon.
    Capture(Box<dyn RunningMethod>),
}

/// Decides which state follows. No I/O, no clock.
pub(crate) fn next<C: Cluster>(event: Event<C>) -> State<C> {
    match event {
        Event::Prepared(prepared) => State::Placing(prepared),
        Event::NotPrepared(exit) => State::Ending(Undo::Nothing, exit),
        Event::Placed(placed) => State::Connecting(placed),
        Event::NotPlaced(prepared, exit) => State::Ending(Undo::of_laptop(prepared.laptop), exit),
        Event::NotReached(placed, Exit::Failed(_)) if placed.agent.found => {
            State::Placing(placed.without_agent())
        }
        Event::NotReached(placed, exit) => {
            let undo = match placed.laptop {
                Laptop::Idle { .. } => Undo::of_agent(placed.link, placed.agent, &exit),
                laptop @ Laptop::Captured(_) => Undo::of_laptop(laptop),
            };
            State::Ending(undo, exit)
        }
        Event::NotCaptured(link, agent, exit) => State::Ending(Undo::of_agent(link, agent, &exit), exit),
        Event::Connected(live) | Event::CarriersBack(live) => State::Connected(live),
        Event::CarriersLost(live) => State::Reconnecting(live),
        Event::AgentLost(live) => State::Placing(live.without_agent()),
        Event::Left(live, exit) => State::Ending(Undo::Capture(live.captured.method), exit),
    }
}

impl<C> Placed<C> {
    fn without_agent(self) -> Prepared<C> {
        Prepared {
            link: self.link,
            laptop: self.laptop,
            wanted: WantedAgent::New,
        }
    }
}

impl<C> Live<C> {
    fn without_agent(self) -> Prepared<C> {
        Prepared {
            link: self.link,
            laptop: Laptop::Captured(self.captured),
            wanted: WantedAgent::New,
        }
    }
}

impl<C> Undo<C> {
    fn of_laptop(laptop: Laptop) -> Self {
        match laptop {
            Laptop::Idle { .. } => Self::Nothing,
            Laptop::Captured(captured) => Self::Capture(captured.method),
        }
    }

    /// An agent that was there before, or that a user who stopped may come back to, stays for its grace time.
    fn of_agent(link: Link<C>, agent: PlacedAgent, exit: &Exit) -> Self {
        match exit {
            Exit::Failed(_) if !agent.found => Self::Agent(link.cluster, agent),
            Exit::Failed(_) | Exit::Stopped => Self::Nothing,
        }
    }
}
