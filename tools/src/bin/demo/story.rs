//! The steps of the demo. Each step does the real work and checks the result that it shows.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use cis490_shared::ids::EpisodeId;
use cis490_shared::row::IndexRow;
use cis490_shared::wire::answer::CommitAnswer;
use tokio::signal::unix::{SignalKind, signal};

use crate::maintainer::Clone;
use crate::narrator::Narrator;
use crate::recorder::{Recording, record};
use crate::stage::{Receiver, Stage};

/// The lab host of the demo.
const HOST: &str = "lab-demo";
/// How often the receiver of the demo reads the clone, in seconds; the product's default is 5.
const POLL_INTERVAL_S: u64 = 2;
/// How long each phase of a recorded episode takes.
const PHASE: Duration = Duration::from_secs(1);

/// Runs all steps below `root`. With `keep`, the receiver runs until Ctrl-C.
pub(crate) fn tell<W: Write>(root: &Path, keep: bool, narrator: &mut Narrator<W>) -> anyhow::Result<()> {
    narrator.title("cis490-demo: an episode's way home, on this machine and in a temporary directory")?;
    let stage = Stage::new(root);
    let clone = Clone::create(&root.join("maintainer/cis490"))?;
    let lab_code = clone.copy_to(&root.join("lab-host/cis490"))?;
    let receiver = start(&stage, &clone, narrator)?;
    let first = ship(&stage, &lab_code, narrator)?;
    ship_again(&stage, &first, narrator)?;
    move_window(&clone, &receiver, narrator)?;
    be_refused(&stage, &lab_code, narrator)?;
    lose_and_restore_a_row(&stage, narrator)?;
    if keep {
        leave_running(&stage, &receiver, &first, narrator)?;
    }
    Ok(())
}

fn start<W: Write>(stage: &Stage, clone: &Clone, narrator: &mut Narrator<W>) -> anyhow::Result<Receiver> {
    narrator.step("The maintainer has a clone; the receiver takes episodes of its last 100 commits")?;
    let receiver = stage.start_receiver(clone.path(), POLL_INTERVAL_S)?;
    stage.configure_shipper(HOST, &receiver.url)?;
    narrator.say(&format!("head of the clone  {}", clone.head()?))?;
    narrator.say(&format!("receiver           {}", receiver.url))?;
    Ok(receiver)
}

fn ship<W: Write>(stage: &Stage, code: &Clone, narrator: &mut Narrator<W>) -> anyhow::Result<EpisodeId> {
    narrator.step("The lab host records an episode (3 s, ten samples of /proc a second) and ships it")?;
    let episode = record_with(stage, &code.head()?)?;
    let dir = stage.lab_data().join("episodes").join(episode.as_str());
    narrator.say(&format!("recorded {episode}: {}", names_in(&dir)?))?;
    let shipped = stage.ship()?;
    ensure!(shipped.code == Some(0), "the shipper failed:\n{}", shipped.text);
    narrator.quote(&shipped.text)?;
    narrator
        .say("201: its bytes, its name and its row are on the collector's disk. The row in index.jsonl:")?;
    let row = row_of(stage, &episode)?.context("the row is missing")?;
    narrator.quote(&String::from_utf8(row.to_line()?)?)?;
    Ok(episode)
}

fn ship_again<W: Write>(
    stage: &Stage,
    episode: &EpisodeId,
    narrator: &mut Narrator<W>,
) -> anyhow::Result<()> {
    narrator.step("The same episode once more, as after an answer that got lost")?;
    let data = stage.lab_data();
    cis490_shared::durable::move_noreplace(
        &data.join("shipped").join(episode.as_str()),
        &data.join("episodes").join(episode.as_str()),
    )?;
    let shipped = stage.ship()?;
    ensure!(shipped.code == Some(0), "the shipper failed:\n{}", shipped.text);
    narrator.quote(&shipped.text)?;
    ensure!(rows(stage)?.len() == 1, "there should be one row");
    narrator
        .say("200: packed again to the same bytes, found to be stored, and still one row in the index.")?;
    Ok(())
}

fn move_window<W: Write>(
    clone: &Clone,
    receiver: &Receiver,
    narrator: &mut Narrator<W>,
) -> anyhow::Result<()> {
    narrator.step("The maintainer commits; nobody restarts anything")?;
    let commit = clone.commit("a fix")?;
    let made = Instant::now();
    let url = format!("{}/v1/gate/{commit}", receiver.url);
    narrator.say(&format!("GET {url}"))?;
    let limit = Duration::from_secs(POLL_INTERVAL_S);
    // Asks on one connection, as fast as the answers come, for at most twice the limit.
    let answer = actix::System::new().block_on(async {
        let client = awc::Client::default();
        loop {
            let sent = client.get(&url).send().await;
            let mut answer = sent.map_err(|error| anyhow::anyhow!("the receiver did not answer: {error}"))?;
            let answer: CommitAnswer = answer.json().await?;
            if answer.admitted || made.elapsed() > 2 * limit {
                return Ok::<_, anyhow::Error>(answer);
            }
        }
    })?;
    ensure!(answer.admitted, "the commit was not admitted within {limit:?}");
    let waited = made.elapsed().as_secs_f64();
    narrator.quote(&serde_json::to_string(&answer)?)?;
    narrator.say(&format!(
        "Admitted {waited:.1} s after the commit; the clone is read every {POLL_INTERVAL_S} s."
    ))?;
    Ok(())
}

fn be_refused<W: Write>(stage: &Stage, code: &Clone, narrator: &mut Narrator<W>) -> anyhow::Result<()> {
    narrator.step("A lab host records with a local commit that the maintainer never saw")?;
    let stray = code.commit("a quick hack on the lab host")?;
    let episode = record_with(stage, &stray)?;
    narrator.say(&format!("recorded {episode} with commit {stray}"))?;
    let shipped = stage.ship()?;
    ensure!(shipped.code == Some(65), "the episode should have been refused:\n{}", shipped.text);
    narrator.quote(&shipped.text)?;
    let kept = stage.lab_data().join("quarantine").join(episode.as_str());
    ensure!(kept.is_dir(), "the refused episode is gone");
    narrator
        .say("412: nothing was sent, nothing is lost. The episode waits in quarantine, with the reason:")?;
    narrator.quote(&fs::read_to_string(kept.join("quarantine_reason.json"))?).map_err(anyhow::Error::from)
}

fn lose_and_restore_a_row<W: Write>(stage: &Stage, narrator: &mut Narrator<W>) -> anyhow::Result<()> {
    narrator.step("Somebody empties index.jsonl; backfill restores the row from the archive")?;
    fs::write(stage.index(), "")?;
    let played = stage.backfill()?;
    ensure!(played.code == Some(0), "backfill failed:\n{}", played.text);
    narrator.quote(&played.text)?;
    let rows = rows(stage)?;
    ensure!(rows.len() == 1 && rows[0].backfilled, "the row was not restored");
    narrator.quote(&String::from_utf8(rows[0].to_line()?)?)?;
    Ok(())
}

/// Prints commands to try, then waits for Ctrl-C. The caller then stops the receiver and removes its files.
fn leave_running<W: Write>(
    stage: &Stage,
    receiver: &Receiver,
    episode: &EpisodeId,
    narrator: &mut Narrator<W>,
) -> anyhow::Result<()> {
    let url = &receiver.url;
    actix::System::new().block_on(async {
        // Registered before anything is printed, so that an early Ctrl-C cannot prevent the clean-up.
        let mut interrupted = signal(SignalKind::interrupt())?;
        narrator.step("Left running; Ctrl-C ends it and removes the directory")?;
        narrator.say(&format!("curl -s {url}/v1/health | jq"))?;
        narrator.say(&format!("curl -s {url}/v1/gate | jq"))?;
        narrator.say(&format!("curl -sI {url}/v1/episodes/{HOST}/{episode}.tar.zst"))?;
        narrator.say(&format!("curl -s -X PUT -d '{{\"disk\": \"fine\"}}' {url}/v1/host-health/{HOST}"))?;
        narrator.say(&format!("jq . {}", stage.index().display()))?;
        narrator.say(&format!("ls {}", stage.lab_data().join("quarantine").display()))?;
        interrupted.recv().await;
        Ok(())
    })
}

fn record_with(stage: &Stage, commit: &str) -> anyhow::Result<EpisodeId> {
    record(Recording { data_root: &stage.lab_data(), host_id: HOST, commit, phase: PHASE })
}

fn rows(stage: &Stage) -> anyhow::Result<Vec<IndexRow>> {
    let text = fs::read_to_string(stage.index())?;
    Ok(text.lines().map(|line| IndexRow::parse(line.as_bytes())).collect::<Result<_, _>>()?)
}

fn row_of(stage: &Stage, episode: &EpisodeId) -> anyhow::Result<Option<IndexRow>> {
    Ok(rows(stage)?.into_iter().find(|row| row.episode_id == *episode))
}

fn names_in(dir: &Path) -> anyhow::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let Ok(name) = entry?.file_name().into_string() else { bail!("a name that is no text") };
        names.push(name);
    }
    names.sort();
    Ok(names.join(", "))
}
