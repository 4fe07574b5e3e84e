//! The floor: the least that a program can do to keep the receiver's promise, as a limit to compare with.
//!
//! A body is hashed and written, its file is synced and renamed, and a line is appended to the index. Then the
//! directory and the index are synced, together for all waiting uploads. Only then comes the 201. Nothing else happens:
//! no gate, no admission, no check of a name, no time limit, a thread for each connection. It is no product.
//!
//! - [`request`]: the head of a request
//! - [`archive`]: the way of a body into its file
//! - [`group`]: the syncs that uploads share

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use cis490_shared::durable;
use clap::{Args, ValueEnum};

use self::archive::Archived;
use self::group::GroupCommit;
use self::request::Incoming;

mod archive;
mod group;
mod request;

/// The arguments of the floor.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flags {
    /// The port on the loopback.
    #[arg(long)]
    port: u16,
    /// The directory of the store, which must exist.
    #[arg(long)]
    store: PathBuf,
    /// How large bodies reach the disk, to compare the ways.
    #[arg(long, value_enum, default_value_t = WriteBack::Early)]
    write_back: WriteBack,
    /// Hashes large bodies on the thread that receives them, to see what the second thread is worth.
    #[arg(long)]
    no_pipeline: bool,
}

/// When the bytes of a large body begin their way to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WriteBack {
    /// While more of them arrive.
    Early,
    /// While more of them arrive; waits whenever the disk falls behind.
    Bounded,
    /// With the sync at the end.
    Late,
}

/// The state that all connections share.
struct Floor {
    flags: Flags,
    group: GroupCommit,
}

/// Serves until it is killed.
pub(crate) fn serve(flags: Flags) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", flags.port))?;
    let index = flags.store.join("index.jsonl");
    durable::create_file(&index, 0o640)?;
    let group = GroupCommit::new(durable::open_append(&index)?);
    let floor = Arc::new(Floor { flags, group });
    for stream in listener.incoming() {
        let (stream, floor) = (stream?, Arc::clone(&floor));
        // The thread ends with its connection, or with the process.
        thread::spawn(move || {
            if let Err(error) = floor.converse(stream) {
                let _ = writeln!(io::stderr(), "a connection ended: {error}");
            }
        });
    }
    Ok(())
}

impl Floor {
    /// Takes one upload after the other until the client hangs up.
    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut incoming = Incoming::new();
        while let Some(request) = incoming.next_head(&mut stream)? {
            let answer: &[u8] = match self.store(&mut stream, &mut incoming, &request)? {
                true => b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n",
                false => b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            };
            stream.write_all(answer)?;
        }
        Ok(())
    }

    /// Makes an upload durable. Returns false if its bytes are not the promised ones.
    fn store(
        &self,
        stream: &mut TcpStream,
        incoming: &mut Incoming,
        request: &request::Head,
    ) -> io::Result<bool> {
        let path = self.flags.store.join(request.path.trim_start_matches('/'));
        let Some(dir) = path.parent() else { return Ok(false) };
        let Archived { partial, sha256 } = archive::receive(stream, incoming, request, dir, &self.flags)?;
        if sha256 != request.sha256 {
            std::fs::remove_file(partial)?;
            return Ok(false);
        }
        rustix::fs::rename(&partial, &path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let line = format!(
            "{{\"episode_id\":\"{name}\",\"schema_version\":1,\"sha256\":\"{sha256}\",\"size_bytes\":{}}}\n",
            request.length
        );
        self.group.commit(&line, dir)?;
        Ok(true)
    }
}
