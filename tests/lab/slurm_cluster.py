"""A real Slurm over the lab's hosts: one munged, slurmctld in lab1, a slurmd in each, all by a configuration of their own."""
import pathlib
import secrets
import subprocess
import time

FREEZER = pathlib.Path("/sys/fs/cgroup/freezer")
CONFIGURATION = """\
ClusterName=drover
SlurmctldHost=lab1
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool-%n
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd-%n.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd-%n.log
ProctrackType=proctrack/{proctrack}
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=5
NodeName={names} CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:4
"""


class SlurmCluster:
    """`lab`: starts a command in a lab host; `directory`: seen by all hosts; `user`: whose jobs they are, of the lab's (`--ssh`)."""

    def __init__(self, lab, environment, names, directory, proctrack="linuxproc", user="root"):
        self.lab, self.environment, self.names = lab, dict(environment, SLURM_CONF=str(directory / "slurm.conf")), names
        self.directory, self.daemons, self.proctrack, self.user = directory, [], proctrack, user

    def start(self):
        directory = self.directory
        directory.mkdir(mode=0o755)
        (directory / "state").mkdir()
        key = directory / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        names = f"lab[1-{len(self.names)}]"
        cpus = len(pathlib.Path("/proc/cpuinfo").read_text().split("processor\t:")) - 1
        (directory / "slurm.conf").write_text(CONFIGURATION.format(directory=directory, names=names, cpus=cpus,
                                                                       proctrack=self.proctrack))
        (directory / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        self.spawn("lab1", "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={directory}/munge.socket",
                   f"--pid-file={directory}/munged.pid", f"--seed-file={directory}/munged.seed", f"--log-file={directory}/munged.log")
        self.wait_for(lambda: (directory / "munge.socket").exists(), "munged")
        self.spawn("lab1", "slurmctld", "-D", "-f", directory / "slurm.conf")
        for name in self.names:
            self.spawn(name, "slurmd", "-D", "-N", name, "-f", directory / "slurm.conf")
        self.wait_for(lambda: self.run("sinfo", "-h", "-o", "%D %t").stdout.split() == [str(len(self.names)), "idle"], "all hosts to be idle")

    def remove_cgroups(self):
        """When no process is left. Each slurmd has a part of the machine's hierarchy, by its name."""
        for host in self.names:
            top = FREEZER / f"slurm_{host}"
            for path in sorted(top.rglob("*"), reverse=True) + [top]:
                if path.is_dir():
                    path.rmdir()  # the files in it can't be removed, and need not be

    def spawn(self, host, *command):
        log = open(self.directory / f"{command[0]}-{host}.out", "wb")
        with log:
            self.daemons.append(subprocess.Popen([self.lab, "exec", host, "--", *map(str, command)], env=self.environment, stdin=subprocess.DEVNULL,
                                                 stdout=log, stderr=subprocess.STDOUT, start_new_session=True))

    def run(self, *command, host="lab1", check=None, cwd=None, user="root"):
        """A command of Slurm's at a host, as who has just logged in unless it is root."""
        login = []
        if user != "root":
            login = ["--as", user]
            command = ("env", f"--chdir={cwd or self.directory}", f"SLURM_CONF={self.environment['SLURM_CONF']}", *command)
        result = subprocess.run([self.lab, "exec", host, *login, "--", *map(str, command)], env=self.environment,
                                cwd=cwd or self.directory, capture_output=True, text=True, timeout=300)
        if check is not None and result.returncode != check:
            raise AssertionError(f"{command}: exit code {result.returncode}: {result.stderr}{result.stdout}")
        return result

    def wait_for(self, condition, what, deadline=120):
        end = time.monotonic() + deadline
        while not (value := condition()):
            if time.monotonic() > end:
                logs = "".join(f"--- {path}\n{path.read_text(errors='replace')[-1500:]}\n" for path in self.directory.glob("*.log"))
                raise AssertionError(f"waited {deadline} s for {what}\n{logs}")
            time.sleep(0.1)
        return value

    def state_of(self, job):
        text = self.run("scontrol", "show", "job", job).stdout
        return next((word.split("=")[1] for word in text.split() if word.startswith("JobState=")), "")
