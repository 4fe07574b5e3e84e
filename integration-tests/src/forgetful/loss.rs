//! The state of the disk after a loss of power: everything that was synced, and the rest as the loss leaves it.
//!
//! The rules are those of POSIX and no kinder. A sync of a file makes its bytes last, but no name. A sync of a
//! directory makes its names last, but nothing of the nodes that they name.

use std::collections::BTreeMap;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::disk::{Body, Change, Disk, Edit, Nodes, Number, TOP, Write};
use super::tree::Tree;

/// The fate of the changes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All of them are gone, names and bytes.
    Everything,
    /// The names are there but the bytes are not: a new file is empty, a grown one has its old length.
    Data,
    /// The names and the lengths are there, but the bytes are zeros.
    Zeros,
    /// The names are there, and the first half of each file's bytes.
    Torn,
    /// All of them are there: the kernel had just written them back, or only the programs died.
    Nothing,
    /// The seed decides for each operation whether it is kept or lost. A move is kept or lost as a whole, except in a
    /// directory that was synced since.
    Some(u64),
}

impl Disk {
    /// Returns the tree that is found if the power fails after the first `position` operations.
    pub(super) fn after(&self, position: usize, loss: Loss) -> Tree {
        let mut tree = Tree::default();
        collect(&self.nodes_after(position, loss), TOP, Path::new(""), &mut tree);
        tree
    }

    /// Returns the disk as it was after the first `position` operations, with nothing lost and nothing more durable
    /// than then.
    pub(super) fn rewound(&self, position: usize) -> Self {
        let mut nodes = self.nodes_after(position, Loss::Nothing);
        for (directory, node) in nodes.clone() {
            let Body::Directory(entries) = node.body else { continue };
            for (name, number) in entries {
                nodes.entry(number).and_modify(|node| node.place = (directory, name));
            }
        }
        Self { nodes, log: self.log[..position].to_vec(), ..self.clone() }
    }

    /// Returns the files and directories that are found, by number; some may be unreachable.
    pub(super) fn nodes_after(&self, position: usize, loss: Loss) -> Nodes {
        let mut replay = Replay::of(self);
        for (at, operation) in self.log[..position].iter().enumerate() {
            replay.take(at, &operation.change);
        }
        replay.end(position, loss);
        replay.lasting
    }
}

/// The nodes that last so far, and the changes since the last sync of each node.
struct Replay<'a> {
    lasting: Nodes,
    names: BTreeMap<Number, Vec<(usize, &'a Edit)>>,
    bytes: BTreeMap<Number, Vec<(usize, &'a Write)>>,
}

impl<'a> Replay<'a> {
    fn of(disk: &Disk) -> Self {
        let mut lasting = disk.initial.clone();
        for (number, node) in &disk.nodes {
            let mut node = node.clone();
            node.body = node.body.emptied();
            lasting.entry(*number).or_insert(node);
        }
        Self { lasting, names: BTreeMap::new(), bytes: BTreeMap::new() }
    }

    fn take(&mut self, at: usize, change: &'a Change) {
        match change {
            Change::Names(edits) => {
                for edit in edits {
                    self.names.entry(edit.directory).or_default().push((at, edit));
                }
            }
            Change::Bytes(file, write) => self.bytes.entry(*file).or_default().push((at, write)),
            Change::Sync { node, covers } => {
                for (_, edit) in split_off_before(self.names.get_mut(node), *covers) {
                    edit.apply(&mut self.lasting);
                }
                for (_, write) in split_off_before(self.bytes.get_mut(node), *covers) {
                    self.write(*node, write);
                }
            }
            Change::Nothing => {}
        }
    }

    /// Decides about every change that was not synced.
    fn end(&mut self, position: usize, loss: Loss) {
        let kept: Vec<bool> = match loss {
            Loss::Some(seed) => {
                let mut rng = StdRng::seed_from_u64(seed);
                (0..position).map(|_| rng.random()).collect()
            }
            Loss::Everything => vec![false; position],
            _ => vec![true; position],
        };
        for (at, edit) in std::mem::take(&mut self.names).into_values().flatten() {
            if kept[at] {
                edit.apply(&mut self.lasting);
            }
        }
        for (file, writes) in std::mem::take(&mut self.bytes) {
            let mut left = writes.iter().map(|(_, write)| length(write)).sum::<usize>() / 2;
            for (at, write) in writes {
                match (loss, write) {
                    (Loss::Data, _) => {}
                    (Loss::Zeros, Write::At(offset, bytes)) => {
                        self.write(file, &Write::At(*offset, vec![0; bytes.len()]));
                    }
                    (Loss::Torn, Write::At(offset, bytes)) => {
                        let part = bytes.len().min(left);
                        left -= part;
                        self.write(file, &Write::At(*offset, bytes[..part].to_vec()));
                    }
                    _ if kept[at] => self.write(file, write),
                    _ => {}
                }
            }
        }
    }

    fn write(&mut self, file: Number, write: &Write) {
        if let Some(Body::File(bytes)) = self.lasting.get_mut(&file).map(|node| &mut node.body) {
            write.apply(bytes);
        }
    }
}

/// Collects everything that can be reached from a directory. A directory is found twice if a loss of half a move left
/// it in two places.
fn collect(nodes: &Nodes, directory: Number, path: &Path, tree: &mut Tree) {
    let Body::Directory(entries) = &nodes[&directory].body else { return };
    for (name, number) in entries {
        let (node, path) = (&nodes[number], path.join(name));
        match &node.body {
            Body::File(bytes) => tree.insert(path, node.mode, Some(bytes.clone())),
            Body::Directory(_) => {
                tree.insert(path.clone(), node.mode, None);
                collect(nodes, *number, &path, tree);
            }
        }
    }
}

fn length(write: &Write) -> usize {
    if let Write::At(_, bytes) = write { bytes.len() } else { 0 }
}

/// Removes and returns the changes before position `covers`.
fn split_off_before<T>(waiting: Option<&mut Vec<(usize, T)>>, covers: usize) -> Vec<(usize, T)> {
    let Some(waiting) = waiting else { return Vec::new() };
    let first_left = waiting.partition_point(|(at, _)| *at < covers);
    waiting.drain(..first_left).collect()
}

#[cfg(test)]
mod tests;
