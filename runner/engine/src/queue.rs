//! A queue of nodes that wait for one another: it gives out those that nothing holds back, the one
//! with the longest way behind it first, and names those that a failure keeps from ever starting.
//!
//! It knows numbers and edges, and refuses to know what a node is, how many may be out at once, or
//! why one failed. Each node leaves it exactly once: by [`DependencyQueue::pop`],
//! [`DependencyQueue::end`], [`DependencyQueue::remove`] or [`DependencyQueue::drain`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// How a node ended; an edge says how the node before it must have, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It failed, or never started.
    Bad,
    /// It failed, and that is let pass; there is nothing that it made.
    Allowed,
    /// It did what it was to do.
    Good,
}

/// The queue over the nodes `0..n`.
#[derive(Clone, Debug)]
pub struct DependencyQueue {
    nodes: Vec<Node>,
    ready: BinaryHeap<Ready>,
    /// Nodes that are still in the queue, ready or not.
    left: usize,
}

/// The longest chain that starts with the node, how many wait for it directly, and the node. Of
/// two that are alike, the one that comes first in the graph goes first.
type Ready = (usize, usize, Reverse<usize>);

#[derive(Clone, Debug)]
struct Node {
    /// Who waits for it, and for which outcome.
    dependents: Vec<(usize, Outcome)>,
    /// How many of its needs have not ended as they must.
    missing: usize,
    /// How many of its needs have not begun.
    idle: usize,
    /// Nodes in the longest chain that starts with it.
    chain: usize,
    queued: bool,
}

impl DependencyQueue {
    /// A queue of as many nodes as there are lists; each list holds what its node needs, and the
    /// least with which that must end. Nodes come after those that they need: an edge to the node
    /// itself or to a later one could close a cycle, and is left out.
    #[must_use]
    pub fn new<N>(needs: impl IntoIterator<Item = N>) -> Self
    where
        N: IntoIterator<Item = (usize, Outcome)>,
    {
        let mut nodes: Vec<Node> = Vec::new();
        for needs in needs {
            let node = nodes.len();
            let mut missing = 0;
            for (need, least) in needs {
                if let Some(first) = nodes.get_mut(need) {
                    first.dependents.push((node, least));
                    missing += 1;
                }
            }
            nodes.push(Node {
                dependents: Vec::new(),
                missing,
                idle: missing,
                chain: 1,
                queued: true,
            });
        }
        for node in (0..nodes.len()).rev() {
            let dependents = nodes
                .get(node)
                .into_iter()
                .flat_map(|node| &node.dependents);
            let chains = dependents.filter_map(|(other, _)| Some(nodes.get(*other)?.chain));
            let longest = chains.max().unwrap_or(0);
            if let Some(node) = nodes.get_mut(node) {
                node.chain = longest + 1;
            }
        }
        let mut queue = Self {
            left: nodes.len(),
            nodes,
            ready: BinaryHeap::new(),
        };
        for node in 0..queue.nodes.len() {
            queue.offer(node);
        }
        queue
    }

    /// Whether every node has left the queue.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Takes the node with the longest chain out of those that nothing holds back.
    pub fn pop(&mut self) -> Option<usize> {
        while let Some((_, _, Reverse(node))) = self.ready.pop() {
            if self.take(node) {
                return Some(node);
            }
        }
        None
    }

    /// A node that was popped or removed ended: what now waits for nothing else can be popped. Takes
    /// out all that can never start, directly or through others, and gives them in the graph's
    /// order.
    pub fn end(&mut self, node: usize, outcome: Outcome) -> Vec<usize> {
        let mut lost = Vec::new();
        let mut ended = vec![(node, outcome)];
        while let Some((node, outcome)) = ended.pop() {
            for (dependent, least) in self.take_dependents(node) {
                if outcome >= least {
                    if let Some(other) = self.nodes.get_mut(dependent) {
                        other.missing = other.missing.saturating_sub(1);
                    }
                    self.offer(dependent);
                } else if self.take(dependent) {
                    lost.push(dependent);
                    ended.push((dependent, Outcome::Bad));
                }
            }
        }
        lost.sort_unstable();
        lost
    }

    /// A node that was popped has begun: gives those that now wait for nothing but the ends of nodes
    /// that have.
    pub fn begin(&mut self, node: usize) -> Vec<usize> {
        let dependents = self.nodes.get(node).map(|node| node.dependents.clone());
        let mut next = Vec::new();
        for (at, _) in dependents.unwrap_or_default() {
            if let Some(node) = self.nodes.get_mut(at) {
                node.idle = node.idle.saturating_sub(1);
                if node.queued && node.idle == 0 {
                    next.push(at);
                }
            }
        }
        next
    }

    /// Takes a node out that is never to start; whether it was still there.
    pub fn remove(&mut self, node: usize) -> bool {
        self.take(node)
    }

    /// Takes out all that were not popped, in the graph's order.
    pub fn drain(&mut self) -> Vec<usize> {
        self.ready.clear();
        (0..self.nodes.len())
            .filter(|node| self.take(*node))
            .collect()
    }

    fn take(&mut self, node: usize) -> bool {
        let queued = self
            .nodes
            .get_mut(node)
            .is_some_and(|node| std::mem::take(&mut node.queued));
        self.left -= usize::from(queued);
        queued
    }

    fn take_dependents(&mut self, node: usize) -> Vec<(usize, Outcome)> {
        self.nodes
            .get_mut(node)
            .map(|node| std::mem::take(&mut node.dependents))
            .unwrap_or_default()
    }

    fn offer(&mut self, at: usize) {
        if let Some(node) = self.nodes.get(at)
            && node.queued
            && node.missing == 0
        {
            self.ready
                .push((node.chain, node.dependents.len(), Reverse(at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(needs: &[&[usize]]) -> DependencyQueue {
        let good = |need: &usize| (*need, Outcome::Good);
        DependencyQueue::new(needs.iter().map(|needs| needs.iter().map(good)))
    }

    /// All nodes in the order in which they come when each ends well at once.
    fn order(mut queue: DependencyQueue) -> Vec<usize> {
        let mut order = Vec::new();
        while let Some(node) = queue.pop() {
            order.push(node);
            queue.end(node, Outcome::Good);
        }
        assert!(queue.is_empty());
        order
    }

    #[test]
    fn what_is_next_waits_for_nothing_that_has_not_begun() {
        let mut queue = queue(&[&[], &[], &[0], &[0, 1], &[3]]);
        assert_eq!((queue.pop(), queue.pop()), (Some(0), Some(1)));
        assert_eq!(queue.begin(0), [2]);
        assert_eq!(queue.begin(1), [3]);
        queue.end(0, Outcome::Bad);
        assert_eq!(
            queue.begin(3),
            [0; 0],
            "what has left the queue is not next"
        );
    }

    #[test]
    fn needs_come_first() {
        assert_eq!(order(queue(&[&[], &[0], &[1], &[0, 2]])), [0, 1, 2, 3]);
        let mut held = queue(&[&[], &[0]]);
        assert_eq!((held.pop(), held.pop()), (Some(0), None));
    }

    #[test]
    fn the_longest_chain_goes_first() {
        // 1 -> 2 -> 3 is longer than 0 -> 4; 5 stands alone.
        assert_eq!(
            order(queue(&[&[], &[], &[1], &[2], &[0], &[]])),
            [1, 0, 2, 3, 4, 5]
        );
        // Of equal chains, the one that more wait for.
        assert_eq!(order(queue(&[&[], &[], &[0], &[1], &[1]]))[0], 1);
    }

    #[test]
    fn a_failure_takes_out_all_that_wait_for_it() {
        let mut queue = queue(&[&[], &[], &[0], &[2], &[1, 3], &[1]]);
        assert_eq!((queue.pop(), queue.pop()), (Some(0), Some(1)));
        assert_eq!(queue.end(0, Outcome::Bad), [2, 3, 4]);
        assert_eq!(queue.pop(), None);
        queue.end(1, Outcome::Good);
        assert_eq!(queue.pop(), Some(5));
        assert!(queue.is_empty());
    }

    #[test]
    fn an_edge_says_how_the_node_before_it_must_end() {
        let edges = [
            vec![],
            vec![(0, Outcome::Good)],
            vec![(0, Outcome::Allowed)],
            vec![(0, Outcome::Bad)],
            vec![(1, Outcome::Bad)],
        ];
        let ended = |outcome| {
            let mut queue = DependencyQueue::new(edges.clone());
            assert_eq!(queue.pop(), Some(0));
            let lost = queue.end(0, outcome);
            let mut ready: Vec<usize> = std::iter::from_fn(|| queue.pop()).collect();
            ready.sort_unstable();
            (lost, ready)
        };
        assert_eq!(ended(Outcome::Good), (vec![], vec![1, 2, 3]));
        // What waits for the end of one that is lost may start.
        assert_eq!(ended(Outcome::Allowed), (vec![1], vec![2, 3, 4]));
        assert_eq!(ended(Outcome::Bad), (vec![1, 2], vec![3, 4]));
    }

    #[test]
    fn what_is_removed_is_not_given() {
        let mut queue = queue(&[&[], &[0], &[]]);
        assert!(queue.remove(0) && !queue.remove(0));
        assert_eq!(queue.end(0, Outcome::Bad), [1]);
        assert_eq!((queue.pop(), queue.pop()), (Some(2), None));
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_drained_is_not_given_again() {
        let mut queue = queue(&[&[], &[], &[0], &[1]]);
        assert_eq!(queue.pop(), Some(0));
        assert_eq!(queue.drain(), [1, 2, 3]);
        queue.end(0, Outcome::Good);
        assert_eq!(queue.pop(), None);
        assert!(queue.is_empty() && queue.drain().is_empty());
    }

    #[test]
    fn edges_that_could_close_a_cycle_are_left_out() {
        assert_eq!(order(queue(&[&[0, 1, 9], &[0]])), [0, 1]);
    }

    #[test]
    fn many_nodes_cost_little_each() {
        let needs = (0..10_000_usize).map(|node| {
            let four = node.saturating_sub(4)..node;
            four.map(|need| (need, Outcome::Good))
        });
        let mut queue = DependencyQueue::new(needs);
        let (mut out, mut given) = (Vec::new(), 0);
        while let Some(node) = queue.pop() {
            given += 1;
            out.push(node);
            queue.end(node, Outcome::Good);
        }
        assert_eq!(given, 10_000);
        assert!(out.is_sorted(), "each waits for the four before it");
    }
}
