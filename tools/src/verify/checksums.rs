//! The hashes of the index in the format of `sha256sum -c`: a line `HASH  HOST/EPISODE.tar.zst` for each episode.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cis490_receiver::store::host_dir::file_name;
use cis490_shared::ids::Sha256Digest;

use super::ledger::Ledger;

/// Writes a line for each pair whose row has a hash, sorted by host and episode. Returns the number of other rows.
pub fn write_checksums(ledger: &Ledger, to: &mut impl Write) -> io::Result<u64> {
    let mut pairs: Vec<_> = ledger.pairs().collect();
    pairs.sort_unstable();
    let mut without_hash = 0;
    for (host, episode) in pairs {
        match ledger.get(host, episode).and_then(|promise| promise.sha256) {
            Some(sha256) => {
                let path = Path::new(host.as_str()).join(file_name(episode));
                write_line(sha256, path.as_os_str(), to)?;
            }
            None => without_hash += 1,
        }
    }
    Ok(without_hash)
}

/// Writes one line. A name with a backslash or a line break is escaped, and the line then begins with a backslash.
fn write_line(sha256: Sha256Digest, name: &OsStr, to: &mut impl Write) -> io::Result<()> {
    let escape = |byte: &u8| match byte {
        b'\\' => b"\\\\".to_vec(),
        b'\n' => b"\\n".to_vec(),
        b'\r' => b"\\r".to_vec(),
        byte => vec![*byte],
    };
    let escaped: Vec<u8> = name.as_bytes().iter().flat_map(escape).collect();
    let mark = if escaped.len() > name.len() { "\\" } else { "" };
    write!(to, "{mark}{sha256}  ")?;
    to.write_all(&escaped)?;
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn sha256sum_finds_files_of_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["plain", "with blanks", "back\\slash", "line\nbreak", "carriage\rreturn", "\\n"];
        let mut sums = Vec::new();
        for name in names {
            fs::write(dir.path().join(name), name).unwrap();
            let sha256 = Sha256Digest::from_bytes(Sha256::digest(name).into());
            write_line(sha256, OsStr::new(name), &mut sums).unwrap();
        }
        fs::write(dir.path().join("SHA256SUMS"), sums).unwrap();
        let mut check = Command::new("sha256sum");
        let output = check.args(["--strict", "-c", "SHA256SUMS"]).current_dir(&dir).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap().matches("OK").count(), names.len());
    }
}
