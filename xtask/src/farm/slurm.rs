// SPDX-License-Identifier: GPL-2.0-or-later
//! Slurm: a plan's array job on two nodes. One node is killed with all that runs on it and comes back; the other's task is put back into
//! the queue by the engine while it runs.

use super::bench::Bench;
use super::enclosed::{daemon, kill, kill_all_with, wait};
use crate::deps;
use anyhow::{ensure, Context, Result};
use kmend_builder::{files, sandbox};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const PACKAGES: &[(&str, &str)] = &[
    ("munge", "shows Slurm's daemons to each other"),
    ("slurm-client", "sbatch and squeue"),
    ("slurmctld", "Slurm's controller"),
    ("slurmd", "Slurm's nodes"),
];

/// The nodes, and the ports of their daemons.
const NODES: [(&str, u16); 2] = [("w1", 6821), ("w2", 6822)];

/// slurm.conf. `cred_expire`: Slurm waits so long before it starts a task again; BatchStartTimeout: before it takes one that a node does
/// not know any more for lost.
const CONFIGURATION: &str = "\
ClusterName=kmend
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=@DIR@/munge.socket,cred_expire=5
StateSaveLocation=@DIR@/state
SlurmdSpoolDir=@DIR@/spool-%n
SlurmctldPidFile=@DIR@/slurmctld.pid
SlurmdPidFile=@DIR@/slurmd-%n.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
BatchStartTimeout=2
KillWait=2
";

/// Installs Slurm where it is missing. Debian's packages start daemons of their own only if /etc/slurm/slurm.conf exists.
pub fn install() -> Result<()> {
    deps::install_missing(PACKAGES)
}

/// The daemons.
struct Cluster {
    dir: PathBuf,
    nodes: Vec<Child>,
}

impl Cluster {
    fn start(dir: &Path) -> Result<Self> {
        files::make_dir(&dir.join("state"))?;
        let mut text = CONFIGURATION.replace("@DIR@", &dir.display().to_string());
        for (name, port) in NODES {
            files::make_dir(&dir.join(format!("spool-{name}")))?;
            text += &format!("NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=1\n");
        }
        text += "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n";
        files::write_quickly(&dir.join("slurm.conf"), text.as_bytes())?;
        let mut key = Command::new("mungekey");
        sandbox::run(key.arg("--create").arg("--keyfile").arg(dir.join("munge.key")), "mungekey")?;
        let mut munged = Command::new("munged");
        // --force: the folder for temporary files is everybody's.
        munged.args(["--foreground", "--force"]);
        for (option, name) in
            [("socket", "socket"), ("key-file", "key"), ("pid-file", "pid"), ("log-file", "log"), ("seed-file", "seed")]
        {
            munged.arg(format!("--{option}={}", dir.join(format!("munge.{name}")).display()));
        }
        daemon(&mut munged, &dir.join("munged.out"))?;
        wait("munged", 30, || Ok(dir.join("munge.socket").exists()))?;
        let mut cluster = Self { dir: dir.into(), nodes: Vec::new() };
        daemon(cluster.command("slurmctld").arg("-D"), &dir.join("slurmctld.log"))?;
        for (name, _) in NODES {
            cluster.nodes.push(cluster.node(name)?);
        }
        wait("the nodes of Slurm", 60, || {
            let states = cluster.ask("sinfo", &["--noheader", "--Node", "--format=%t"]).unwrap_or_default();
            Ok(states.lines().filter(|state| *state == "idle").count() == NODES.len())
        })?;
        Ok(cluster)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.dir.join("slurm.conf"));
        command
    }

    fn node(&self, name: &str) -> Result<Child> {
        daemon(self.command("slurmd").args(["-D", "-N", name]), &self.dir.join(format!("slurmd-{name}.log")))
    }

    fn ask(&self, program: &str, args: &[&str]) -> Result<String> {
        let out = sandbox::run(self.command(program).args(args), program)?;
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_string())
    }

    /// The number of the job that runs on a node, once kmend-build is at work in it, and the task that it is.
    fn at_work(&self, bench: &Bench, node: &str) -> Result<(String, String)> {
        let mut found = (String::new(), String::new());
        wait(&format!("a task at work on {node}"), 120, || {
            let said = self.ask("squeue", &["--noheader", "--states=RUNNING", "--nodelist", node, "--format=%A %K"])?;
            let Some((job, task)) = said.split_once(' ') else { return Ok(false) };
            let log = files::read_text(&bench.dir.join(format!("kmend-farm-{task}.log"))).unwrap_or_default();
            found = (job.into(), task.into());
            Ok(log.contains("building "))
        })?;
        Ok(found)
    }

    /// A node loses power while its task runs, and comes back.
    fn lose_power(&mut self, job: &str) -> Result<()> {
        let (name, _) = NODES[0];
        self.nodes[0].kill().context("slurmd is gone already")?;
        self.nodes[0].wait().context("slurmd")?;
        let step = format!("slurmstepd: [{job}.batch]");
        for entry in std::fs::read_dir("/proc").context("cannot read /proc")?.flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if line.starts_with(step.as_bytes()) {
                kill(&entry.file_name().to_string_lossy())?;
            }
        }
        let killed = kill_all_with(&format!("SLURMD_NODENAME={name}"))?;
        ensure!(killed > 0, "no process of task {job} ran on {name}");
        println!("{name} was killed with {killed} processes of its task");
        self.nodes[0] = self.node(name)?;
        Ok(())
    }

    fn restarts(&self, job: &str) -> Result<usize> {
        let said = self.ask("scontrol", &["show", "job", job])?;
        let count = said.split_whitespace().find_map(|word| word.strip_prefix("Restarts=")?.parse().ok());
        count.with_context(|| format!("no Restarts= in what scontrol tells of job {job}:\n{said}"))
    }
}

/// Runs it in `folder`.
pub fn run(folder: &Path) -> Result<()> {
    let bench = Bench::new(&folder.join("stream"))?;
    let mut cluster = Cluster::start(&folder.join("slurm"))?;
    let script = bench.stream(&["plan", "stream.toml", "--format", "slurm"])?;
    files::write_quickly(&bench.dir.join("jobs.sh"), script.as_bytes())?;
    let mut sbatch = cluster.command("sbatch");
    sandbox::run(sbatch.current_dir(&bench.dir).args(["--parsable", "jobs.sh"]), "sbatch")?;
    let (killed, _) = cluster.at_work(&bench, NODES[0].0)?;
    let (requeued, _) = cluster.at_work(&bench, NODES[1].0)?;
    cluster.ask("scontrol", &["requeue", &requeued])?;
    println!("the task of {} was put back into the queue", NODES[1].0);
    cluster.lose_power(&killed)?;
    let end =
        wait("the array job", 900, || Ok(cluster.ask("squeue", &["--noheader", "--format=%i %t %r"])?.is_empty()));
    if end.is_err() {
        println!("{}", cluster.ask("squeue", &["--format=%i %t %r"]).unwrap_or_default());
        print!("{}", files::read_text(&folder.join("slurm/slurmctld.log")).unwrap_or_default());
    }
    end?;
    for (what, job) in [("was killed with its node", &killed), ("was put back into the queue", &requeued)] {
        ensure!(cluster.restarts(job)? >= 1, "the task that {what} was not started again");
    }
    bench.check(&folder.join("alone"))
}
