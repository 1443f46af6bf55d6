//! Orders and circles of a graph whose nodes are numbers. It knows nothing of steps or services.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// An order in which each node comes after those that it needs, as near to the nodes' own order as
/// can be. `needs` holds each node's; a number that is no node is left out.
///
/// # Errors
/// The circles, one for each knot of nodes that need one another: the shortest from its smallest
/// node, which is not repeated at the end.
pub(crate) fn order(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut waiting: Vec<usize> = vec![0; needs.len()];
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); needs.len()];
    for (node, needs) in needs.iter().enumerate() {
        for need in needs {
            if let (Some(by), Some(count)) = (needed_by.get_mut(*need), waiting.get_mut(node)) {
                by.push(node);
                *count += 1;
            }
        }
    }
    let free = waiting.iter().enumerate().filter(|(_, count)| **count == 0);
    let mut free: BinaryHeap<Reverse<usize>> = free.map(|(node, _)| Reverse(node)).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(node)) = free.pop() {
        order.push(node);
        for next in needed_by.get(node).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*next) {
                *count -= 1;
                if *count == 0 {
                    free.push(Reverse(*next));
                }
            }
        }
    }
    if order.len() == needs.len() {
        Ok(order)
    } else {
        Err(circles(needs))
    }
}

fn circles(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut graph = DiGraph::<(), ()>::new();
    let nodes: Vec<NodeIndex> = needs.iter().map(|_| graph.add_node(())).collect();
    for (node, needs) in nodes.iter().zip(needs) {
        for need in needs.iter().filter_map(|need| nodes.get(*need)) {
            graph.add_edge(*node, *need, ());
        }
    }
    let knots = tarjan_scc(&graph).into_iter();
    let mut circles: Vec<Vec<usize>> = knots
        .filter_map(|knot| {
            let mut knot: Vec<usize> = knot.into_iter().map(NodeIndex::index).collect();
            knot.sort_unstable();
            shortest(needs, &knot)
        })
        .collect();
    circles.sort();
    circles
}

/// The shortest way from the smallest node of a knot back to itself.
fn shortest(needs: &[Vec<usize>], knot: &[usize]) -> Option<Vec<usize>> {
    let start = *knot.first()?;
    let place = |node: &usize| knot.binary_search(node).ok();
    let mut from: Vec<Option<usize>> = vec![None; knot.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for need in needs.get(node)? {
            if *need == start {
                let mut way = vec![node];
                while let Some(before) = way
                    .last()
                    .and_then(place)
                    .and_then(|at| from.get(at).copied().flatten())
                {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if let Some(seen) = place(need).and_then(|at| from.get_mut(at))
                && seen.is_none()
            {
                *seen = Some(node);
                queue.push_back(*need);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_order_keeps_to_the_nodes_own() {
        assert_eq!(
            order(&[vec![2], vec![], vec![], vec![0, 1]]),
            Ok(vec![1, 2, 0, 3])
        );
        assert_eq!(order(&[]), Ok(vec![]));
    }

    #[test]
    fn circles_are_whole_and_short() {
        let needs = [vec![1], vec![2], vec![0, 1], vec![4], vec![3], vec![0]];
        assert_eq!(order(&needs), Err(vec![vec![0, 1, 2], vec![3, 4]]));
        assert_eq!(order(&[vec![0]]), Err(vec![vec![0]]));
    }

    proptest! {
        #[test]
        fn an_order_or_a_circle(edges in prop::collection::vec((0_usize..9, 0_usize..9), 0..20)) {
            let mut needs = vec![Vec::new(); 9];
            for (node, need) in edges {
                needs[node].push(need);
            }
            match order(&needs) {
                Ok(order) => {
                    let place = |node: usize| order.iter().position(|other| *other == node);
                    for (node, needs) in needs.iter().enumerate() {
                        for need in needs {
                            prop_assert!(place(*need) < place(node));
                        }
                    }
                }
                Err(circles) => {
                    prop_assert!(!circles.is_empty());
                    for circle in circles {
                        for (at, node) in circle.iter().enumerate() {
                            let next = circle[(at + 1) % circle.len()];
                            prop_assert!(needs[*node].contains(&next));
                        }
                    }
                }
            }
        }
    }
}
