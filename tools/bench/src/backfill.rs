//! Backfill and verify, compared with two openssl processes on large archives and with a Python loop on small ones.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::ensure;
use cis490_shared::archive::pack::pack_episode;
use cis490_shared::ids::EpisodeId;
use clap::Args;

use crate::episodes::{self, Recorded, SMALL};
use crate::figures::{float, median};
use crate::ship::{have, timed};
use crate::workshop::Workshop;

/// A capture of this size makes an archive of about the same size.
const LARGE: Recorded = Recorded { capture: 128 << 20, telemetry: 1 << 20 };
/// The zstd level, which matters only for packing the trees.
const LEVEL: i32 = 1;
/// One thread, with one hash and one `zstd` process for each archive: the way that the product replaces.
const PYTHON_LOOP: &str = r#"
import hashlib, io, json, pathlib, subprocess, sys, tarfile
for archive in sorted(pathlib.Path(sys.argv[1]).rglob("*.tar.zst")):
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    tar = subprocess.run(["zstd", "-dcq", str(archive)], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as members:
        meta = json.load(members.extractfile(members.next()))
    print(json.dumps({"episode_id": meta["episode_id"], "host_id": archive.parent.name, "sha256": digest}))
"#;

/// The arguments of `backfill`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flags {
    /// How often each program runs over each tree.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Large archives, of 128 MiB.
    #[arg(long, default_value_t = 8)]
    large: usize,
    /// Small archives, of about 60 KiB.
    #[arg(long, default_value_t = 5000)]
    small: usize,
}

/// Measures backfill and verify.
pub(crate) fn run(workshop: &Workshop, flags: &Flags) -> anyhow::Result<()> {
    writeln!(io::stdout(), "\n**Backfill and verify, from the page cache**\n")?;
    writeln!(
        io::stdout(),
        "| tree | program | s in the middle | MB/s | archives/s | compared with | ratio of times |\n|---|---|--:|--:|--:|---|--:|"
    )?;
    if have(&["openssl"])? {
        let tree = Tree::make(workshop, "large", flags.large, LARGE)?;
        compare(workshop, flags.rounds, &tree, "openssl, two processes", &|tree| openssl(tree))?;
    }
    if have(&["python3", "zstd"])? {
        let tree = Tree::make(workshop, "small", flags.small, SMALL)?;
        compare(workshop, flags.rounds, &tree, "Python and zstd, one at a time", &|tree| {
            timed(Command::new("python3").arg("-c").arg(PYTHON_LOOP).arg(&tree.root))
        })?;
    }
    Ok(())
}

/// A store without an index.
struct Tree {
    name: String,
    root: PathBuf,
    archives: Vec<PathBuf>,
    bytes: u64,
}

impl Tree {
    fn make(workshop: &Workshop, name: &str, count: usize, sizes: Recorded) -> anyhow::Result<Self> {
        let dir = workshop.fresh_dir(name)?;
        let (recorded, root) = (dir.join("recorded"), dir.join("episodes"));
        fs::create_dir_all(root.join("lab-1"))?;
        let (mut archives, mut bytes) = (Vec::new(), 0);
        for number in 0..count {
            episodes::record(&recorded, number, &workshop.commit, sizes)?;
            let id = episodes::id(number);
            let path = root.join("lab-1").join(format!("{id}.tar.zst"));
            let mut file = BufWriter::new(File::create(&path)?);
            bytes += pack_episode(&recorded.join(&id), &EpisodeId::parse(&id)?, &mut file, LEVEL)?.size_bytes;
            file.flush()?;
            archives.push(path);
        }
        rustix::fs::sync();
        Ok(Self {
            name: format!("{name}: {count} archives, {} MB", bytes / 1_000_000),
            root,
            archives,
            bytes,
        })
    }

    /// Reads all archives, so that later reads come from memory.
    fn warm(&self) -> io::Result<()> {
        self.archives.iter().try_for_each(|path| io::copy(&mut File::open(path)?, &mut io::sink()).map(drop))
    }
}

/// Hashes half of the archives in each of two processes. Returns the time.
fn openssl(tree: &Tree) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let half = tree.archives.len().div_ceil(2).max(1);
    let processes: Result<Vec<_>, _> = tree
        .archives
        .chunks(half)
        .map(|part| {
            Command::new("openssl").args(["dgst", "-sha256"]).args(part).stdout(Stdio::null()).spawn()
        })
        .collect();
    for mut process in processes? {
        ensure!(process.wait()?.success(), "openssl failed");
    }
    Ok(began.elapsed())
}

/// Runs a backfill and checks the number of its rows. Returns the time.
fn backfill(workshop: &Workshop, tree: &Tree, index: &Path) -> anyhow::Result<Duration> {
    for leftover in [index.to_owned(), index.with_file_name("index.lock")] {
        match fs::remove_file(leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let mut command = workshop.program("cis490-index-backfill")?;
    let time = timed(command.arg("--episodes-root").arg(&tree.root).arg("--index").arg(index))?;
    let rows = fs::read_to_string(index)?.lines().count();
    ensure!(rows == tree.archives.len(), "{rows} rows for {} archives", tree.archives.len());
    Ok(time)
}

fn verify(workshop: &Workshop, tree: &Tree, index: &Path) -> anyhow::Result<Duration> {
    let mut command = workshop.program("cis490-verify")?;
    timed(command.arg("--episodes-root").arg(&tree.root).arg("--index").arg(index))
}

fn compare(
    workshop: &Workshop,
    rounds: usize,
    tree: &Tree,
    other: &str,
    run_other: &dyn Fn(&Tree) -> anyhow::Result<Duration>,
) -> anyhow::Result<()> {
    let index = workshop.fresh_dir("index")?.join("index.jsonl");
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        workshop.wait_until_quiet();
        // Before each run, because verify makes the kernel forget its files.
        let runs: [&dyn Fn() -> anyhow::Result<Duration>; 3] =
            [&|| backfill(workshop, tree, &index), &|| run_other(tree), &|| verify(workshop, tree, &index)];
        for (times, run) in times.iter_mut().zip(runs) {
            tree.warm()?;
            times.push(run()?.as_secs_f64());
        }
    }
    let [_, others, _] = &times;
    for (name, own) in [("cis490-index-backfill", &times[0]), ("cis490-verify", &times[2]), (other, others)] {
        let middle = median(own.iter().copied());
        writeln!(
            io::stdout(),
            "| {} | {name} | {middle:.2} | {:.0} | {:.0} | {other} | {:.2} |",
            tree.name,
            float(tree.bytes) / 1e6 / middle,
            float(tree.archives.len() as u64) / middle,
            median(own.iter().zip(others).map(|(own, other)| own / other))
        )?;
    }
    Ok(())
}
