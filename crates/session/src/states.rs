//! States of a session as types, and the function that decides which one follows.
//!
//! A state owns what it needs and is passed by value. It runs until an [`Event`], which owns what the state leaves;
//! [`next`] turns the event into the next state. The types make it impossible to be in two states, or in a state without
//! its data.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use slipway_cluster::placement::AgentPod;
use slipway_control::ProblemSource;
use slipway_method::{Method, Report, RunningMethod};
use slipway_names::{Name, Namespaces};
use slipway_tunnel::PacketReply;
use tokio::sync::{Notify, mpsc, watch};

use crate::agent_watch::AgentWatch;
use crate::carriers::Carriers;
use crate::changes::Changes;
use crate::cluster::{Cluster, PlacedAgent};
use crate::error::SessionError;
use crate::exit::Exit;
use crate::failures::Failures;
use crate::link::Link;
use crate::needed_hosts::NeededWatch;
use crate::time_limit::TimeLimit;

/// A state with its data.
pub(crate) enum State<C: Cluster> {
    Placing(Prepared<C>),
    Pausing(Pausing<C>),
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
    /// It is time for another attempt to replace a lost agent.
    Paused(Prepared<C>),
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
    /// What the user sends to the cluster, and changes of it.
    pub(crate) changes: Arc<Changes>,
    /// Failed attempts to replace the agent since programs reached the cluster last.
    pub(crate) failures: Failures,
    /// Problem that no more connections can be opened.
    pub(crate) no_room: ProblemSource,
    /// Ends the session after its time.
    pub(crate) _time_limit: Option<TimeLimit>,
    /// Keeps the addresses that the session needs out of the tunnel.
    pub(crate) _needed: NeededWatch,
    /// Domain of the cluster's names, by the user or the agent's pod.
    pub(crate) domain: Name,
}

/// Choice between the kept agent and a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WantedAgent {
    /// The agent that the last session of the profile left, if it still runs.
    Kept,
    /// A new agent, because this one does not work: the kept one, or the one that served this session. What is left of it
    /// in the cluster is removed.
    InsteadOf(AgentPod),
}

/// A session whose cluster answers.
pub(crate) struct Prepared<C> {
    pub(crate) link: Link<C>,
    pub(crate) laptop: Laptop,
    pub(crate) wanted: WantedAgent,
}

/// A session whose programs are captured, and whose agent could not be replaced.
pub(crate) struct Pausing<C> {
    pub(crate) link: Link<C>,
    pub(crate) captured: Captured,
    pub(crate) wanted: WantedAgent,
    pub(crate) error: SessionError,
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
    pub(crate) watch: AgentWatch,
    pub(crate) carriers: Carriers,
    /// Wakes the probe from the laptop's side.
    pub(crate) probe_now: Arc<Notify>,
    /// Why a carrier was lost last.
    pub(crate) trouble: Option<String>,
    /// Random number that identifies the agent's run.
    pub(crate) instance: u64,
    pub(crate) namespaces: BoxStream<'static, Namespaces>,
}

/// What must be undone when a session ends.
pub(crate) struct Undo<C> {
    /// The capture. The agent stays for its grace, for a session that connects again soon.
    pub(crate) capture: Option<Box<dyn RunningMethod>>,
    pub(crate) agent: Remains<C>,
}

/// What a session that ends must remove from its cluster.
pub(crate) enum Remains<C> {
    Nothing,
    /// What an attempt to place an agent may have created.
    Attempt(Arc<C>),
    /// An agent that this session placed, and that never served it.
    Agent(Arc<C>, PlacedAgent),
}

/// Decides which state follows. Does no I/O and reads no clock.
pub(crate) fn next<C: Cluster>(event: Event<C>) -> State<C> {
    match event {
        Event::Prepared(prepared) | Event::Paused(prepared) => State::Placing(prepared),
        Event::NotPrepared(exit) => State::Ending(Undo::nothing(), exit),
        Event::Placed(placed) => State::Connecting(placed),
        Event::NotPlaced(prepared, exit) => prepared.after(exit),
        Event::NotReached(placed, Exit::Failed(_)) if placed.agent.found => {
            State::Placing(placed.without_agent())
        }
        Event::NotReached(placed, exit) => match placed.laptop {
            Laptop::Idle { .. } => {
                let undo = Undo::of_agent(placed.link, placed.agent, &exit);
                State::Ending(undo, exit)
            }
            Laptop::Captured(_) => placed.without_agent().after(exit),
        },
        Event::NotCaptured(link, agent, exit) => State::Ending(Undo::of_agent(link, agent, &exit), exit),
        Event::Connected(live) | Event::CarriersBack(live) => State::Connected(live),
        Event::CarriersLost(live) => State::Reconnecting(live),
        Event::AgentLost(live) => State::Placing(live.without_agent()),
        Event::Left(live, exit) => State::Ending(Undo::of_capture(live.captured), exit),
    }
}

impl<C: Cluster> Prepared<C> {
    /// Decides what follows when no agent serves: once programs are captured, only a request to stop, the end of the
    /// session's time, or the method ends the session.
    fn after(self, exit: Exit) -> State<C> {
        match (self.laptop, exit) {
            (Laptop::Captured(captured), Exit::Failed(error)) if !error.is_of_method() => {
                State::Pausing(Pausing {
                    link: self.link,
                    captured,
                    wanted: self.wanted,
                    error,
                })
            }
            (laptop, exit) => {
                let undo = Undo {
                    capture: laptop.capture(),
                    agent: Remains::Attempt(self.link.cluster),
                };
                State::Ending(undo, exit)
            }
        }
    }
}

impl<C> Placed<C> {
    fn without_agent(self) -> Prepared<C> {
        Prepared {
            link: self.link,
            laptop: self.laptop,
            wanted: WantedAgent::InsteadOf(self.agent.agent),
        }
    }
}

impl<C> Live<C> {
    fn without_agent(self) -> Prepared<C> {
        Prepared {
            link: self.link,
            laptop: Laptop::Captured(self.captured),
            wanted: WantedAgent::InsteadOf(self.agent.agent),
        }
    }
}

impl Laptop {
    /// Returns the running method, if there is one.
    fn capture(self) -> Option<Box<dyn RunningMethod>> {
        match self {
            Laptop::Idle { .. } => None,
            Laptop::Captured(captured) => Some(captured.method),
        }
    }
}

impl<C> Undo<C> {
    fn nothing() -> Self {
        Self {
            capture: None,
            agent: Remains::Nothing,
        }
    }

    fn of_capture(captured: Captured) -> Self {
        Self {
            capture: Some(captured.method),
            agent: Remains::Nothing,
        }
    }

    /// Removes only an agent that this session placed and that failed. One that was found, or that a user who stopped may
    /// use again, stays for its grace.
    fn of_agent(link: Link<C>, agent: PlacedAgent, exit: &Exit) -> Self {
        let agent = match exit {
            Exit::Failed(_) if !agent.found => Remains::Agent(link.cluster, agent),
            Exit::Failed(_) | Exit::Stopped | Exit::TimeOver => Remains::Nothing,
        };
        Self { capture: None, agent }
    }
}
