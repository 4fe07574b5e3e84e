//! How cost grows with the work: throughput and memory against size, connections, hosts and rows.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::chart::{self, Line, Panel};
use crate::driver::Shape;
use crate::figures::{float, median};
use crate::measure::{self, Measured};
use crate::peer::{Peer, Server};
use crate::start;
use crate::workshop::Workshop;

/// The arguments of `curve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Flags {
    /// Where the pictures and the points are written.
    #[arg(long, default_value = "docs/curves", value_name = "DIR")]
    out: PathBuf,
    /// How often every point is measured; the median is drawn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only this curve: size, connections, hosts or rows.
    #[arg(long)]
    only: Option<String>,
    /// Draws the points that are in DIR, without measuring.
    #[arg(long)]
    redraw: bool,
}

/// One point of a curve.
struct Point {
    /// Its position on the horizontal axis and in the table.
    place: u64,
    /// The label at that position.
    label: String,
    shape: Shape,
    /// Rows in the index before the run.
    rows: usize,
}

/// One curve.
struct Curve {
    name: &'static str,
    heading: &'static str,
    axis: &'static str,
    points: Vec<Point>,
    /// Whether each point needs storage of its own.
    fresh: bool,
}

/// The panels of each picture: the title, and the column of the table.
const PANELS: [(&str, &str); 3] = [
    ("throughput, MB/s", "megabytes_per_s"),
    ("uploads per second", "requests_per_s"),
    ("peak resident memory, MiB", "peak_mib"),
];
const KIB: usize = 1024;
const SMALL: usize = 64 * KIB;
/// Bytes of one point, unless a single body is larger. The whole then takes minutes, not hours.
const POINT_BYTES: usize = 256 * KIB * KIB;
/// The most uploads of one point, for the same reason.
const POINT_UPLOADS: usize = 2000;

fn curves() -> Vec<Curve> {
    let point = |place: usize, shape| Point { place: place as u64, label: place.to_string(), shape, rows: 0 };
    let sizes = (2..=20).step_by(2).map(|power| {
        let size = KIB << power;
        let count = (POINT_BYTES / size).clamp(1, POINT_UPLOADS);
        Point { label: label(size), ..point(size, Shape { count, size, connections: 1, hosts: Some(1) }) }
    });
    let connections = (0..=8).map(|power| {
        let connections = 1 << power;
        point(connections, Shape { count: POINT_UPLOADS, size: SMALL, connections, hosts: Some(1) })
    });
    let hosts = [1, 3, 10, 30, 100, 300, 1000].map(|hosts| {
        point(hosts, Shape { count: POINT_UPLOADS, size: SMALL, connections: 8, hosts: Some(hosts) })
    });
    let rows = [0, 1000, 10_000, 100_000, 1_000_000].map(|rows| Point {
        rows,
        ..point(rows, Shape { count: POINT_UPLOADS, size: SMALL, connections: 8, hosts: Some(1) })
    });
    vec![
        Curve {
            name: "size",
            heading: "One connection, by the size of a body",
            axis: "size of a body",
            points: sizes.collect(),
            fresh: false,
        },
        Curve {
            name: "connections",
            heading: "64 KiB bodies, by the number of connections",
            axis: "connections",
            points: connections.collect(),
            fresh: false,
        },
        Curve {
            name: "hosts",
            heading: "64 KiB bodies over 8 connections, by the number of hosts",
            axis: "hosts",
            points: hosts.into(),
            fresh: false,
        },
        Curve {
            name: "rows",
            heading: "64 KiB bodies over 8 connections, by the rows in the index",
            axis: "rows in the index",
            points: rows.into(),
            fresh: true,
        },
    ]
}

fn label(size: usize) -> String {
    match size {
        0..0x10_0000 => format!("{} KiB", size >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", size >> 20),
        _ => format!("{} GiB", size >> 30),
    }
}

/// Measures every curve and writes its picture and its points.
pub(crate) fn run(workshop: &Workshop, flags: &Flags) -> anyhow::Result<()> {
    fs::create_dir_all(&flags.out)?;
    let wanted = |curve: &Curve| flags.only.as_ref().is_none_or(|only| only == curve.name);
    for curve in curves().into_iter().filter(wanted) {
        let points = flags.out.join(curve.name).with_extension("tsv");
        if !flags.redraw {
            let measured = measure_curve(workshop, flags.rounds, &curve)?;
            fs::write(&points, table(&curve, &measured))?;
        }
        let table = fs::read_to_string(&points).with_context(|| format!("`{}`", points.display()))?;
        fs::write(points.with_extension("svg"), picture(&curve, &table)?)?;
        writeln!(io::stdout(), "\n**{}** ({}.svg)\n\n```\n{table}```", curve.heading, curve.name)?;
    }
    Ok(())
}

/// The runs of every peer at every point: by peer, then by point.
type Runs = Vec<Vec<Vec<Measured>>>;

fn measure_curve(workshop: &Workshop, rounds: usize, curve: &Curve) -> anyhow::Result<Runs> {
    let peers = Peer::ours();
    let mut runs: Runs = peers.iter().map(|_| curve.points.iter().map(|_| Vec::new()).collect()).collect();
    for round in 0..rounds {
        let mut standing = Vec::new();
        for (place, point) in curve.points.iter().enumerate() {
            if curve.fresh || standing.is_empty() {
                standing = peers
                    .iter()
                    .map(|peer| start_peer(workshop, peer, point.rows))
                    .collect::<Result<_, _>>()?;
            }
            for turn in 0..peers.len() {
                let index = (turn + round + place) % peers.len();
                let server: &Server = &standing[index];
                meet_hosts(workshop, server, point.shape)?;
                let measured = measure::measure(workshop, server, point.shape)?;
                writeln!(
                    io::stderr(),
                    "round {round} {} {:8} {:12} {:8.1}/s {:8.1} MB/s {:.0} MiB, {} errors",
                    curve.name,
                    point.label,
                    peers[index].name(),
                    measured.requests_per_s,
                    measured.megabytes_per_s,
                    measured.peak_mib,
                    measured.errors
                )?;
                runs[index][place].push(measured);
            }
        }
    }
    Ok(runs)
}

fn start_peer(workshop: &Workshop, peer: &Peer, rows: usize) -> anyhow::Result<Server> {
    let dir = workshop.fresh_dir(peer.name())?;
    if rows > 0 {
        start::fill(workshop, &dir, rows)?;
    }
    let server = peer.start_in(workshop, &dir)?;
    measure::warm_up(workshop, &server)?;
    Ok(server)
}

/// Sends one small upload for every host, because a new host costs once and the curve is not about that.
fn meet_hosts(workshop: &Workshop, server: &Server, shape: Shape) -> anyhow::Result<()> {
    let hosts = shape.hosts.unwrap_or(1);
    let greeting = Shape { count: hosts, size: 4 * KIB, connections: 8.min(hosts), hosts: Some(hosts) };
    if hosts > 1 {
        measure::measure(workshop, server, greeting)?;
    }
    Ok(())
}

/// Returns a table of the medians of every peer at every point.
fn table(curve: &Curve, runs: &Runs) -> String {
    let mut table = format!(
        "{}\tpeer\truns\trequests_per_s\tmegabytes_per_s\tp99_ms\tcpu_s_per_gb\tpeak_mib\terrors\n",
        curve.name
    );
    for (peer, runs) in Peer::ours().iter().zip(runs) {
        for (point, runs) in curve.points.iter().zip(runs) {
            let middle = |value: fn(&Measured) -> f64| median(runs.iter().map(value));
            // Writing to a String cannot fail.
            let _ = writeln!(
                table,
                "{}\t{}\t{}\t{:.2}\t{:.1}\t{:.2}\t{:.2}\t{:.1}\t{}",
                point.place,
                peer.name(),
                runs.len(),
                middle(|run| run.requests_per_s),
                middle(|run| run.megabytes_per_s),
                middle(|run| run.p99_ms),
                middle(|run| run.cpu_s_per_gb),
                middle(|run| run.peak_mib),
                runs.iter().map(|run| run.errors).sum::<usize>()
            );
        }
    }
    table
}

/// Draws a curve from its table.
fn picture(curve: &Curve, table: &str) -> anyhow::Result<String> {
    let peers = Peer::ours();
    let line = |peer: &Peer, column| -> anyhow::Result<Line> {
        Ok(Line { name: peer.name().to_owned(), points: points(table, peer.name(), column)? })
    };
    let panel = |(title, column)| -> anyhow::Result<Panel> {
        Ok(Panel { title, lines: peers.iter().map(|peer| line(peer, column)).collect::<Result<_, _>>()? })
    };
    let panels = PANELS.into_iter().map(panel).collect::<Result<Vec<_>, _>>()?;
    let ticks: Vec<_> =
        curve.points.iter().map(|point| (on_axis(float(point.place)), point.label.clone())).collect();
    chart::draw(curve.heading, curve.axis, &ticks, &panels)
}

/// Reads the points of one peer from a table, as place and value of the column.
fn points(table: &str, peer: &str, column: &str) -> anyhow::Result<Vec<(f64, f64)>> {
    let mut rows = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = rows.next().unwrap_or_default();
    let value = header.iter().position(|name| *name == column).with_context(|| format!("no `{column}`"))?;
    rows.filter(|row| row.get(1) == Some(&peer))
        .map(|row| {
            let number = |place| row.get(place).and_then(|field: &&str| field.parse::<f64>().ok());
            let point = number(0).map(on_axis).zip(number(value));
            point.with_context(|| format!("not a point: `{}`", row.join(" ")))
        })
        .collect()
}

/// Returns the position on a logarithmic axis, which has no 0: it is drawn at 1.
fn on_axis(place: f64) -> f64 {
    place.max(1.0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_pictures_in_docs_are_drawn_from_the_points_beside_them() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/curves");
        for curve in curves() {
            let file =
                |extension| fs::read_to_string(dir.join(curve.name).with_extension(extension)).unwrap();
            let drawn = picture(&curve, &file("tsv")).unwrap();
            assert!(drawn == file("svg"), "{}.svg: draw it with `cis490-bench curve --redraw`", curve.name);
        }
    }
}
