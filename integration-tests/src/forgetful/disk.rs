//! The disk as its users see it, and the log of all operations on it.
//!
//! A file system in memory, without any FUSE code. No node is ever deleted, because the log names files and directories
//! by number. [`super::loss`] replays the log to find out which operations would have lasted.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use rustix::io::Errno;

use super::tree::Tree;

/// The number of a file or directory.
pub(super) type Number = u64;

/// The number of the top directory, which FUSE prescribes.
pub(super) const TOP: Number = 1;

/// Files and directories by number.
pub(super) type Nodes = BTreeMap<Number, Node>;

/// A file or a directory.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) body: Body,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    /// The position of the log at its last change, which is the only clock here.
    pub(super) changed: usize,
    /// Its directory and name, now or last.
    pub(super) place: (Number, OsString),
}

/// The content of a node.
#[derive(Debug, Clone)]
pub(super) enum Body {
    File(Vec<u8>),
    Directory(BTreeMap<OsString, Number>),
}

impl Body {
    /// Returns an empty body of the same kind.
    pub(super) fn emptied(&self) -> Self {
        match self {
            Self::File(_) => Self::File(Vec::new()),
            Self::Directory(_) => Self::Directory(BTreeMap::new()),
        }
    }
}

/// An operation on the disk.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    /// The operation and its path, for people.
    pub(super) label: String,
    pub(super) change: Change,
}

/// The effect of an operation on the data that lasts.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// Changes of names, all of them or none: a move is one operation on two directories.
    Names(Vec<Edit>),
    /// A change of a file's bytes.
    Bytes(Number, Write),
    /// A sync: from here on every change of this node before position `covers` lasts.
    Sync { node: Number, covers: usize },
    /// No effect that a loss of power could undo: permissions always keep their last state.
    Nothing,
}

/// One name in one directory, which a node gets or loses.
#[derive(Debug, Clone)]
pub(super) struct Edit {
    pub(super) directory: Number,
    pub(super) name: OsString,
    pub(super) to: Option<Number>,
}

/// A change of the bytes of a file.
#[derive(Debug, Clone)]
pub(super) enum Write {
    At(usize, Vec<u8>),
    Length(usize),
}

impl Write {
    /// Makes the change; fills a gap before it with zeros.
    pub(super) fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::At(offset, bytes) => {
                let end = offset + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset..end].copy_from_slice(bytes);
            }
            Self::Length(length) => to.resize(*length, 0),
        }
    }
}

/// The disk, with its log.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) nodes: Nodes,
    /// The nodes before the first operation, all of which last.
    pub(super) initial: Nodes,
    pub(super) log: Vec<Operation>,
    /// True if a rename can be told not to replace anything.
    pub(super) knows_noreplace: bool,
    /// True if a directory can be renamed from one directory to another.
    pub(super) moves_directories: bool,
}

impl Disk {
    /// Creates a disk on which everything in `tree` lasts already, owned by `owner`.
    pub(super) fn new(tree: &Tree, owner: (u32, u32)) -> Self {
        let top = Node {
            body: Body::Directory(BTreeMap::new()),
            mode: 0o755,
            owner,
            changed: 0,
            place: (TOP, OsString::new()),
        };
        let nodes = Nodes::from([(TOP, top)]);
        let mut disk = Self {
            nodes,
            initial: Nodes::new(),
            log: Vec::new(),
            knows_noreplace: true,
            moves_directories: true,
        };
        for (path, leaf) in tree.leaves() {
            let parent = path.parent().into_iter().flatten();
            let parent = parent.fold(TOP, |at, name| disk.lookup(at, name).expect("parents come first"));
            let body = match &leaf.bytes {
                Some(bytes) => Body::File(bytes.clone()),
                None => Body::Directory(BTreeMap::new()),
            };
            disk.create((parent, path.file_name().expect("a name")), body, leaf.mode, owner).expect("new");
        }
        disk.log.clear();
        disk.initial = disk.nodes.clone();
        disk
    }

    pub(super) fn node(&self, number: Number) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::NOENT)
    }

    pub(super) fn entries(&self, directory: Number) -> Result<&BTreeMap<OsString, Number>, Errno> {
        match &self.node(directory)?.body {
            Body::Directory(entries) => Ok(entries),
            Body::File(_) => Err(Errno::NOTDIR),
        }
    }

    pub(super) fn lookup(&self, directory: Number, name: &OsStr) -> Result<Number, Errno> {
        self.entries(directory)?.get(name).copied().ok_or(Errno::NOENT)
    }

    /// Returns up to `size` bytes of a file from `offset` on.
    pub(super) fn read(&self, file: Number, offset: usize, size: usize) -> Result<&[u8], Errno> {
        let Body::File(bytes) = &self.node(file)?.body else { return Err(Errno::ISDIR) };
        let begin = offset.min(bytes.len());
        Ok(&bytes[begin..(begin + size).min(bytes.len())])
    }

    pub(super) fn create(
        &mut self,
        at: (Number, &OsStr),
        body: Body,
        mode: u32,
        owner: (u32, u32),
    ) -> Result<Number, Errno> {
        if self.lookup(at.0, at.1).is_ok() {
            return Err(Errno::EXIST);
        }
        self.entries(at.0)?;
        let verb = if matches!(body, Body::File(_)) { "create" } else { "mkdir" };
        let number = self.nodes.keys().last().expect("the top at least") + 1;
        let place = (at.0, at.1.to_owned());
        self.nodes.insert(number, Node { body, mode, owner, changed: 0, place });
        self.edit(format!("{verb} {}", self.path(number)), vec![edit(at, Some(number))]);
        Ok(number)
    }

    pub(super) fn link(&mut self, file: Number, to: (Number, &OsStr)) -> Result<(), Errno> {
        if self.lookup(to.0, to.1).is_ok() {
            return Err(Errno::EXIST);
        }
        let label = format!("link {} -> {}", self.path(file), self.path_in(to));
        self.edit(label, vec![edit(to, Some(file))]);
        Ok(())
    }

    /// Removes the name of a file, or of an empty directory.
    pub(super) fn remove(&mut self, at: (Number, &OsStr)) -> Result<(), Errno> {
        let number = self.lookup(at.0, at.1)?;
        if self.entries(number).is_ok_and(|entries| !entries.is_empty()) {
            return Err(Errno::NOTEMPTY);
        }
        self.edit(format!("remove {}", self.path_in(at)), vec![edit(at, None)]);
        Ok(())
    }

    pub(super) fn rename(
        &mut self,
        from: (Number, &OsStr),
        to: (Number, &OsStr),
        replace: bool,
    ) -> Result<(), Errno> {
        let number = self.lookup(from.0, from.1)?;
        if let Ok(taken) = self.lookup(to.0, to.1) {
            if !replace {
                return Err(Errno::EXIST);
            }
            if self.entries(taken).is_ok_and(|entries| !entries.is_empty()) {
                return Err(Errno::NOTEMPTY);
            }
        }
        let label = format!("rename {} -> {}", self.path_in(from), self.path_in(to));
        self.edit(label, vec![edit(from, None), edit(to, Some(number))]);
        Ok(())
    }

    pub(super) fn write(&mut self, file: Number, write: Write) -> Result<(), Errno> {
        let path = self.path(file);
        let position = self.log.len();
        let node = self.nodes.get_mut(&file).ok_or(Errno::NOENT)?;
        let Body::File(bytes) = &mut node.body else { return Err(Errno::ISDIR) };
        write.apply(bytes);
        node.changed = position;
        let label = match &write {
            Write::At(offset, bytes) => format!("write {path} {offset}..{}", offset + bytes.len()),
            Write::Length(length) => format!("truncate {path} to {length}"),
        };
        self.note(label, Change::Bytes(file, write));
        Ok(())
    }

    /// Logs a reservation of space, which always succeeds.
    pub(super) fn reserve(&mut self, file: Number) {
        self.note(format!("reserve {}", self.path(file)), Change::Nothing);
    }

    pub(super) fn set_permissions(
        &mut self,
        number: Number,
        mode: u32,
        owner: (u32, u32),
    ) -> Result<(), Errno> {
        let node = self.nodes.get_mut(&number).ok_or(Errno::NOENT)?;
        (node.mode, node.owner) = (mode, owner);
        self.note(format!("permit {}", self.path(number)), Change::Nothing);
        Ok(())
    }

    /// Makes every change of a file's bytes, or of a directory's names, before position `covers` last.
    pub(super) fn sync(&mut self, number: Number, covers: usize) {
        let kind = if self.entries(number).is_ok() { "directory" } else { "file" };
        self.note(format!("sync {kind} {}", self.path(number)), Change::Sync { node: number, covers });
    }

    fn edit(&mut self, label: String, edits: Vec<Edit>) {
        for edit in &edits {
            if let Some(node) = edit.to.and_then(|number| self.nodes.get_mut(&number)) {
                node.place = (edit.directory, edit.name.clone());
            }
            edit.apply(&mut self.nodes);
        }
        self.note(label, Change::Names(edits));
    }

    fn note(&mut self, label: String, change: Change) {
        self.log.push(Operation { label, change });
    }

    /// Returns the path of a node, or the last one that it had.
    pub(super) fn path(&self, number: Number) -> String {
        match self.nodes.get(&number) {
            Some(node) if number != TOP => self.path_in((node.place.0, &node.place.1)),
            _ => ".".to_owned(),
        }
    }

    fn path_in(&self, (directory, name): (Number, &OsStr)) -> String {
        let mut path = PathBuf::from(name);
        let mut at = directory;
        while let Some(node) = self.nodes.get(&at).filter(|_| at != TOP) {
            path = PathBuf::from(&node.place.1).join(path);
            at = node.place.0;
        }
        path.display().to_string()
    }
}

impl Edit {
    pub(super) fn apply(&self, nodes: &mut Nodes) {
        let Some(Node { body: Body::Directory(entries), .. }) = nodes.get_mut(&self.directory) else {
            return;
        };
        match self.to {
            Some(number) => entries.insert(self.name.clone(), number),
            None => entries.remove(&self.name),
        };
    }
}

fn edit((directory, name): (Number, &OsStr), to: Option<Number>) -> Edit {
    Edit { directory, name: name.to_owned(), to }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Disk {
        Disk::new(&Tree::default(), (0, 0))
    }

    fn labels(disk: &Disk) -> Vec<&str> {
        disk.log.iter().map(|operation| operation.label.as_str()).collect()
    }

    #[test]
    fn what_is_done_is_seen_at_once_and_logged_with_its_paths() {
        let mut disk = empty();
        let dir = disk.create((TOP, "d".as_ref()), Body::Directory(BTreeMap::new()), 0o755, (0, 0)).unwrap();
        let file = disk.create((dir, "f".as_ref()), Body::File(Vec::new()), 0o644, (0, 0)).unwrap();
        disk.write(file, Write::At(2, b"ab".to_vec())).unwrap();
        disk.rename((dir, "f".as_ref()), (TOP, "g".as_ref()), false).unwrap();
        disk.sync(file, 3);
        assert_eq!(disk.read(file, 1, 9).unwrap(), b"\0ab");
        assert_eq!(disk.lookup(TOP, "g".as_ref()), Ok(file));
        assert_eq!(
            labels(&disk),
            ["mkdir d", "create d/f", "write d/f 2..4", "rename d/f -> g", "sync file g"]
        );
    }

    #[test]
    fn what_a_real_disk_refuses_is_refused_and_not_logged() {
        let mut disk = empty();
        let dir = disk.create((TOP, "d".as_ref()), Body::Directory(BTreeMap::new()), 0o755, (0, 0)).unwrap();
        let file = disk.create((dir, "f".as_ref()), Body::File(Vec::new()), 0o644, (0, 0)).unwrap();
        disk.link(file, (TOP, "g".as_ref())).unwrap();
        let before = disk.log.len();
        assert_eq!(disk.remove((TOP, "d".as_ref())), Err(Errno::NOTEMPTY));
        assert_eq!(disk.rename((dir, "f".as_ref()), (TOP, "g".as_ref()), false), Err(Errno::EXIST));
        assert_eq!(disk.link(file, (TOP, "g".as_ref())), Err(Errno::EXIST));
        assert_eq!(disk.lookup(file, "x".as_ref()), Err(Errno::NOTDIR));
        assert_eq!(disk.remove((TOP, "x".as_ref())), Err(Errno::NOENT));
        assert_eq!(disk.write(dir, Write::Length(0)), Err(Errno::ISDIR));
        assert_eq!(disk.log.len(), before);
    }
}
