//! Default instructions for a refused lab host (protocol section 2.3).

/// The default commands, verbatim, so that they can be pasted into a shell on the lab host.
pub const DEFAULT_REMEDIATION: &str = "\
cd /opt/cis490 && sudo -u cis490 git pull origin main
sudo /opt/cis490/scripts/install-lab-host.sh
sudo systemctl restart cis490-orchestrator
";
