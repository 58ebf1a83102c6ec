//! Sending commands on to where nodes say that they belong, until each has its answer.

use super::{
    Cluster, Place,
    redirect::{self, Next, Unit},
};
use crate::{options::Address, packed::Packed};
use redis::Value;
use std::time::Duration;
use studio_plugin_api::{DriverError, request};

/// So often a command is sent on: in a cluster that is well, once for a map that is old and once for a slot that moves.
const MAX_HOPS: u32 = 5;
/// To so many nodes the commands of one pipeline are sent on.
const MAX_TARGETS: usize = 16;
/// The first wait for keys that are on their way; each next one is twice as long, a second and a half in all.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Commands that were sent, of which some are sent on.
pub(super) struct Sent<'a> {
    pub(super) commands: &'a Packed,
    pub(super) is_transaction: bool,
    pub(super) most: u64,
    pub(super) place: Place<'a>,
}

/// What goes to one node next.
struct Group {
    address: Address,
    asking: bool,
    units: Vec<Unit>,
}

impl Cluster {
    pub(super) async fn follow(
        &self,
        whole: &Sent<'_>,
        mut misplaced: Vec<Unit>,
        answers: &mut [Value],
    ) -> Result<(), DriverError> {
        let mut seen = self.map();
        let mut is_old = false;
        for hop in 0..MAX_HOPS {
            is_old |= misplaced.iter().any(|unit| matches!(unit.next, Next::Moved(_)));
            let is_elsewhere = misplaced.iter().any(|unit| unit.next == Next::Elsewhere);
            if is_elsewhere || misplaced.iter().any(|unit| matches!(unit.next, Next::Again(_))) {
                let pause = FIRST_PAUSE * (1 << hop);
                // The nodes' answers tell the caller more than a deadline that passes during the wait.
                if request::time_left().is_some_and(|left| left <= pause) {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
            if is_elsewhere {
                self.refresh(&seen).await?;
                seen = self.map();
            }
            let mut left = Vec::new();
            for group in self.group(misplaced, whole.place) {
                left.append(&mut self.send_on(whole, &group, answers).await?);
            }
            misplaced = left;
            if misplaced.is_empty() {
                break;
            }
        }
        // A map that can't be had now is asked for again by the next command that is sent on.
        if is_old {
            let _ = self.refresh(&seen).await;
        }
        Ok(())
    }

    /// The units by the node that they go to next. What would go to more nodes than there may be keeps its answer.
    fn group(&self, misplaced: Vec<Unit>, place: Place<'_>) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let owner = match place {
            Place::Slot(slot) => self.map().primary(slot).map(|primary| (*primary.address).clone()),
            Place::Any | Place::Node(_) => None,
        };
        for unit in misplaced {
            let (address, asking) = match &unit.next {
                Next::Moved(address) => (Some(address), false),
                Next::Ask(address) | Next::Again(address) => (Some(address), true),
                Next::Elsewhere => (owner.as_ref(), false),
            };
            let Some(address) = address else { continue };
            let has_room = groups.len() < MAX_TARGETS;
            match groups.iter_mut().find(|group| group.address == *address && group.asking == asking) {
                Some(group) => group.units.push(unit),
                None if has_room => {
                    groups.push(Group { address: address.clone(), asking, units: vec![unit] });
                }
                None => {}
            }
        }
        groups
    }

    /// Asks one node for the answers of a group; tells which units belong elsewhere still.
    async fn send_on(
        &self,
        whole: &Sent<'_>,
        group: &Group,
        answers: &mut [Value],
    ) -> Result<Vec<Unit>, DriverError> {
        let node = self.nodes.connect(&group.address).await?;
        let commands = redirect::pick(whole.commands, &group.units, group.asking);
        let extra = usize::from(group.asking);
        let mut arrived = node.ask(commands, whole.most).await?.into_iter();
        let mut left = Vec::new();
        for unit in &group.units {
            let own: Vec<_> = arrived.by_ref().take(extra + unit.commands.len()).skip(extra).collect();
            let still = redirect::misplaced(&own, whole.is_transaction, node.address()).into_iter().next();
            left.extend(still.map(|still| Unit { commands: unit.commands.clone(), next: still.next }));
            for (place, answer) in answers.iter_mut().skip(unit.commands.start).zip(own) {
                *place = answer;
            }
        }
        Ok(left)
    }
}
