//! States of a session as types, and the function that decides which one follows.
//!
//! A state owns what it needs and is passed by value. It runs until an [`Event`], which owns what the state leaves;
//! [`next`] turns the event into the next state. The types make it impossible to be in two states, or in a state without
//! its data.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use slipway_control::ProblemSource;
use slipway_method::{Method, Report, RunningMethod};
use slipway_names::{Name, Namespaces};
use slipway_tunnel::PacketReply;
use tokio::sync::{mpsc, watch};

use crate::carriers::Carriers;
use crate::cluster::{Cluster, PlacedAgent};
use crate::exit::Exit;
use crate::extra_hosts::HostsCheck;
use crate::link::Link;

/// A state with its data.
pub(crate) enum State<C: Cluster> {
    Placing(Prepared<C>),
    Connecting(Placed<C>),
    Connected(Live<C>),
    Reconnecting(Live<C>),
    Ending(Undo<C>, Exit),
}

/// Event that ends a state, with the data for the next one.
pub(crate) enum Event<C: Cluster> {
    /// The cluster answers and the laptop is ready.
    Prepared(Prepared<C>),
    /// The cluster or the laptop cannot be used, or the session was asked to end.
    NotPrepared(Exit),
    /// An agent was found or started.
    Placed(Placed<C>),
    NotPlaced(Prepared<C>, Exit),
    /// No carrier reached the agent.
    NotReached(Placed<C>, Exit),
    /// The agent was reached, but the method did not start.
    NotCaptured(Link<C>, PlacedAgent, Exit),
    /// Programs reach the cluster.
    Connected(Live<C>),
    /// The last carrier ended.
    CarriersLost(Live<C>),
    /// A carrier is open again.
    CarriersBack(Live<C>),
    /// The agent is gone, or another program took its place.
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

/// A running method and its reports.
pub(crate) struct Captured {
    pub(crate) method: Box<dyn RunningMethod>,
    pub(crate) report: watch::Receiver<Report>,
    /// Problems that the method reports. They are withdrawn when this is dropped.
    pub(crate) problems: ProblemSource,
    pub(crate) hosts: HostsCheck,
    /// Problem that no more connections can be opened.
    pub(crate) no_room: ProblemSource,
    /// Domain of the cluster's names, by the user or the agent's pod.
    pub(crate) domain: Name,
}

/// Choice between the kept agent and a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantedAgent {
    /// The agent that the last session of the profile left, if it still runs.
    Kept,
    /// A new agent, because the kept one, or the one that served this session, does not work.
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
    /// Random number that identifies the agent's run.
    pub(crate) instance: u64,
    pub(crate) namespaces: BoxStream<'static, Namespaces>,
}

/// What must be undone when a session ends.
pub(crate) enum Undo<C> {
    Nothing,
    /// An agent that this session placed, and that never served it.
    Agent(Arc<C>, PlacedAgent),
    /// The capture. The agent stays for its grace, for a session that connects again soon.
    Capture(Box<dyn RunningMethod>),
}

/// Decides which state follows. Does no I/O and reads no clock.
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

    /// Removes only an agent that this session placed and that failed. One that was found, or that a user who stopped may
    /// use again, stays for its grace.
    fn of_agent(link: Link<C>, agent: PlacedAgent, exit: &Exit) -> Self {
        match exit {
            Exit::Failed(_) if !agent.found => Self::Agent(link.cluster, agent),
            Exit::Failed(_) | Exit::Stopped => Self::Nothing,
        }
    }
}
