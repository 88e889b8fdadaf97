"""Every promise of the sandbox is tried from inside, with every engine and as everybody this machine has.

What is tried is in `attempts`; here stands what has to come of it. One run of all attempts for each engine
and each user, in a process of its own.
"""

import errno
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import attempts
import pytest

from course_lib.grading.walls import engines, kernel, own_root, sandbox
from course_lib.grading.walls.sandbox import NoIsolation, Policy
from course_lib.grading.walls.syscalls import CAP_SYS_ADMIN, has_capabilities

HERE = Path(__file__).parent
LINUX = sys.platform == "linux"
ROOT = LINUX and os.geteuid() == 0 and has_capabilities(CAP_SYS_ADMIN)
only_linux = pytest.mark.skipif(not LINUX, reason="the sandbox needs Linux")
# pytest has threads of its own. What we fork here does not wait for any of them.
forks = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

SIDES = (
    ("namespaces", "root"),
    ("namespaces", "user"),
    ("namespaces", "container"),
    ("bubblewrap", "root"),
    ("bubblewrap", "user"),
)


def command_as(who: str, *command: str) -> list[str]:
    """The command line that runs this Python as root, as a user, or as a container's root; or a skip."""
    if not LINUX:
        pytest.skip("the sandbox needs Linux")
    if who != "user" and not ROOT:
        pytest.skip("the tests are run by an ordinary user, and only root can try it as root")
    if who == "root" or not ROOT:
        return [sys.executable, *command]
    return [sys.executable, str(HERE / "as_somebody.py"), who, "--", sys.executable, *command]


def run_as(who: str, *command: str) -> str:
    """What it printed. Skips where this machine isolates nobody without root's rights."""
    done = subprocess.run(command_as(who, *command), capture_output=True, text=True, timeout=120)
    if done.returncode and who != "root" and "NoIsolation" in done.stderr:
        pytest.skip(f"not on this machine: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=SIDES, ids="-".join)
def side(request: pytest.FixtureRequest) -> tuple[str, str]:
    """(engine, who)."""
    if request.param[0] == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    return request.param


@pytest.fixture(scope="module")
def seen(side: tuple[str, str]) -> dict:
    """What came of every attempt."""
    engine, who = side
    return json.loads(run_as(who, str(HERE / "attempts.py"), engine))


# ------------------------------------------------------------------------------------------ files


def test_no_file_outside_can_be_read(seen: dict) -> None:
    assert seen["read_outside"]["answer"] == ["ENOENT"] * 3


def test_only_what_is_allowed_is_there(seen: dict) -> None:
    answer = seen["list_folders"]["answer"]
    assert answer == {"found": [], "/dev": ["null", "random", "urandom"], "beside": ["shown"]}


def test_no_process_can_be_looked_into(seen: dict) -> None:
    assert seen["read_proc"]["answer"] == ["ENOENT"] * 4


def test_links_lead_nowhere(seen: dict) -> None:
    read, write, proc, hard, moved, device = seen["links"]["answer"]
    assert (read, proc, device) == ("ENOENT", "ENOENT", "EPERM")
    assert write in ("EROFS", "EACCES", "ENOENT")
    assert hard == moved == "EXDEV"


def test_what_is_hidden_looks_empty(seen: dict) -> None:
    assert seen["hidden"]["answer"] == [[], ""]


def test_nothing_outside_can_be_changed(seen: dict) -> None:
    answer = seen["write_outside"]["answer"]
    assert set(answer) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}
    assert answer[2:4] == ["EROFS", "EROFS"]  # the own root itself is closed, not only to this user
    assert seen["outside"] == {"secret": "secret", "there": ["secret", "shown", "socket"]}


def test_environment_and_descriptors_are_not_handed_on(seen: dict) -> None:
    names = set(seen["environment"]["answer"])
    assert names <= {
        *sandbox.ENVIRONMENT,
        "HOME",
        "TMPDIR",
        "MPLCONFIGDIR",
        "PATH",
        "TORCHINDUCTOR_CACHE_DIR",
    }
    assert seen["descriptors"]["answer"] == {"opened": [0, 1, 2], "nowhere": True}


# ------------------------------------------------------------------------------------------ others


def test_nobody_can_be_reached(seen: dict) -> None:
    assert set(seen["connect"]["answer"].values()) == {"EPERM"}


def test_no_process_outside_can_be_signalled(seen: dict) -> None:
    """A signal to the own group stays inside, and does not reach the process that waits: we are answered."""
    assert seen["signals"]["answer"] == ["ESRCH", "ESRCH", "done"]


def test_no_other_program_can_be_started(seen: dict) -> None:
    assert seen["programs"]["answer"] == ["EPERM", "EPERM"]


def test_dangerous_calls_are_refused(seen: dict) -> None:
    answer = seen["kernel"]["answer"]
    assert answer.pop("clone3") == "ENOSYS"
    assert set(answer) > {"ptrace", "mount", "unshare", "bpf", "io_uring_setup", "outlive the parent"}
    assert set(answer.values()) == {"EPERM"}


def test_nobody_is_kept_waiting_by_a_lease_on_what_all_read(seen: dict) -> None:
    assert seen["leases"]["answer"] == ["EPERM", "EPERM"]


def test_no_session_of_its_own_has_a_share_of_the_processor(seen: dict) -> None:
    assert seen["sessions"]["answer"] == "refused"


def test_no_right_is_left(seen: dict, side: tuple[str, str]) -> None:
    answer = seen["rights"]["answer"]
    assert answer.pop("become root") in ("EPERM", "EINVAL")
    as_outside = side[1] == "user"
    assert answer == {
        "root": False,
        "as outside": as_outside,
        "capabilities": 0,
        "no new rights": 1,
        "machine's name": "sandbox",
    }


# ------------------------------------------------------------------------------------------ limits


def test_scratch_folder_has_an_end(seen: dict) -> None:
    assert seen["fill_scratch"]["answer"] == {"megabytes": 8.0, "errors": ["EFBIG", "ENOSPC"]}


def test_files_have_an_end(seen: dict) -> None:
    assert seen["many_files"]["answer"] == {"error": "EMFILE", "open": attempts.LIMITS.files}


def test_names_in_the_scratch_folder_have_an_end(seen: dict, side: tuple[str, str]) -> None:
    names = seen["many_names"]
    if side[0] == "namespaces":
        assert names["answer"] == "ENOSPC"
    else:  # bubblewrap cannot limit them: they are counted from outside
        assert names["answer"] is None
        assert names["ended"] in (-signal.SIGKILL, 128 + signal.SIGKILL)


def test_fork_bomb_is_bounded_and_ends_with_the_sandbox(seen: dict) -> None:
    bomb = seen["fork_bomb"]
    assert 10 < bomb["answer"] < attempts.LIMITS.processes
    assert bomb["before"] == bomb["answer"] + 1
    assert bomb["out of memory"] == [1000]  # these go first
    assert bomb["left"] == 0


def test_background_process_ends_with_the_sandbox(seen: dict) -> None:
    daemon = seen["background_process"]
    assert (daemon["answer"], daemon["before"], daemon["left"]) == ("left", 2, 0)


def test_memory_has_an_end(seen: dict) -> None:
    assert seen["memory"]["answer"] == ["MemoryError", "ENOMEM", "done"]


def test_memory_of_all_processes_together_has_an_end(seen: dict) -> None:
    assert seen["memory_of_many"]["answer"] is None
    assert seen["memory_of_many"]["ended"] in (-signal.SIGKILL, 128 + signal.SIGKILL)


def test_memory_in_place_of_what_is_shared_has_an_end(seen: dict) -> None:
    attempt = seen["memory_in_place_of_what_is_shared"]
    assert attempt["answer"] is None
    assert attempt["ended"] in (-signal.SIGKILL, 128 + signal.SIGKILL)


def test_memory_that_many_share_counts_once(seen: dict) -> None:
    assert seen["memory_that_many_share"]["answer"] == [0] * 8


def test_memory_cannot_be_hidden_from_who_counts_it(seen: dict) -> None:
    assert seen["hides"]["answer"] == -1


def test_record_locks_are_answered_and_not_kept(seen: dict) -> None:
    assert seen["record_locks"]["answer"] == "none"


def test_memory_in_sockets_has_an_end(seen: dict) -> None:
    """No limit of the kernel's counts it. What one process writes there may fill as many as it can open."""
    assert seen["memory_in_sockets"]["answer"] is None
    assert seen["memory_in_sockets"]["ended"] in (-signal.SIGKILL, 128 + signal.SIGKILL)


def test_no_memory_is_held_where_nobody_counts_it(seen: dict) -> None:
    answer = seen["memory_that_nobody_has"]["answer"]
    assert answer.pop("shared zeros") == "ENOENT"
    assert set(answer.values()) == {"EPERM"}


def test_no_memory_is_shared(seen: dict) -> None:
    assert seen["shared_memory"]["answer"] == ["EPERM", "ENOENT", "ENOENT"]


def test_endless_loop_that_no_signal_interrupts_ends(seen: dict) -> None:
    assert seen["processor"]["answer"] is None
    assert seen["processor"]["ended"] in (-signal.SIGKILL, 128 + signal.SIGKILL)


def test_how_it_ended_is_told(seen: dict) -> None:
    assert seen["end_with_7"]["ended"] == 7
    assert seen["crash"]["ended"] in (-signal.SIGSEGV, 128 + signal.SIGSEGV)


# ------------------------------------------------------------------------------------------ what works


def test_ordinary_work_is_not_disturbed(seen: dict) -> None:
    assert seen["ordinary_work"]["answer"] == [
        *("thread", True, 3, 1, 48, True, "awaited", "worked", True, "SQLite")
    ]


def test_torch_works_inside() -> None:
    seen = json.loads(run_as("user", str(HERE / "attempts.py"), "namespaces", "work_with_torch"))
    gradient = seen["work_with_torch"]["answer"]
    assert gradient == pytest.approx([0.0] * 7, abs=1e-6)  # of a sum that is always 1


def test_all_ends_when_the_zygote_is_killed(side: tuple[str, str]) -> None:
    """Also what was started in the background: as on a crash of the grader."""
    engine, who = side
    command = command_as(who, str(HERE / "attempts.py"), engine, "leave")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as zygote:
        try:
            mark = zygote.stdout.readline().strip() if zygote.stdout else ""
            if not mark and who != "root":
                pytest.skip("not on this machine: no isolation without root's rights")
            assert len(attempts.marked(mark)) == 2
        finally:
            zygote.kill()
    assert attempts.still_there(mark) == 0


# ------------------------------------------------------------------------------------------ the second wall

ALONE_BEHIND_LANDLOCK = """
import os, sys
from course_lib.grading.walls import kernel

kernel.no_new_rights()
kernel.landlock({sys.argv[1]: kernel.READ_FILE | kernel.READ_DIR})
answers = []
file = sys.argv[1] + "/file"
for path, flags in ((file, os.O_RDONLY), (file, os.O_WRONLY), ("/etc/passwd", os.O_RDONLY)):
    try:
        os.open(path, flags)
        answers.append("done")
    except PermissionError:
        answers.append("refused")
print(*answers)
"""


@only_linux
def test_landlock_alone_refuses_files_elsewhere(tmp_path: Path) -> None:
    """Within the own root it is not noticed, and there it is for what nobody has thought of."""
    if kernel.landlock_version() == 0:
        pytest.skip("this kernel has no Landlock")
    (tmp_path / "file").write_text("x")
    command = [sys.executable, "-c", ALONE_BEHIND_LANDLOCK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["done", "refused", "refused"]


# ------------------------------------------------------------------------------------------ engines


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch):
    """Let the trials of the engines have this outcome: namespaces, bubblewrap; "" is: works."""

    def as_if(*whys: str) -> None:
        told = dict(zip(engines.ENGINES, whys, strict=True))
        monkeypatch.setattr(engines, "fault_of", told.__getitem__)

    return as_if


@only_linux
def test_engine_that_holds_is_believed() -> None:
    fault = engines.fault_of.__wrapped__(engines.ENGINES[0])
    if fault and not ROOT:
        pytest.skip(f"not on this machine: {fault}")
    assert fault == ""


@only_linux
def test_engine_that_does_not_hold_is_not_believed() -> None:
    fault = engines.fault_of.__wrapped__(engines.NONE)
    assert fault.startswith("a program inside reads a file outside and changes a folder outside")


def test_engine_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fault = engines.fault_of.__wrapped__(engines.ENGINES[1])
    assert "bubblewrap is not installed" in fault or "it needs Linux" in fault


def test_best_engine_is_chosen(tell) -> None:
    tell("", "")
    assert [engine.name for engine in engines.engines()] == ["namespaces", "bubblewrap"]
    assert engines.choose().name == "namespaces"
    assert engines.choose("bubblewrap").name == "bubblewrap"
    tell("unshare: Operation not permitted", "")
    assert engines.choose().name == "bubblewrap"


def test_without_isolation_nothing_is_chosen_but_by_name(tell) -> None:
    tell("unshare: Operation not permitted", "bubblewrap is not installed")
    assert engines.engines() == []
    with pytest.raises(
        NoIsolation, match=r"not run without isolation.*unshare.*not installed.*doctor"
    ) as refusal:
        engines.choose()
    assert "\n" not in str(refusal.value)
    with pytest.raises(NoIsolation, match=r"\(namespaces: unshare: Operation not permitted\)"):
        engines.choose("namespaces")
    assert engines.choose("none") is engines.NONE
    with pytest.raises(ValueError, match="one of namespaces, bubblewrap, none, not 'docker'"):
        engines.choose("docker")


def test_doctor_names_what_each_protects_from(tell) -> None:
    tell("", "bubblewrap is not installed")
    text = engines.doctor()
    assert "namespaces: works\n  protects from: reading and changing other files" in text
    assert "bubblewrap: does not work here: bubblewrap is not installed" in text
    assert "none: only where you ask for it" in text
    assert text.endswith("Submissions are run with: namespaces.")
    assert "What to do" not in text


def test_doctor_says_what_to_do_where_none_works(tell) -> None:
    tell("unshare: Operation not permitted", "bubblewrap is not installed")
    text = engines.doctor()
    assert "Submissions are run with" not in text
    assert "workshop/Containerfile" in text
    assert "apparmor_restrict_unprivileged_userns=0" in text


@forks
@only_linux
def test_sandbox_that_cannot_be_made_is_an_error_with_its_reason() -> None:
    policy = Policy((Path("/not/there"),))
    with pytest.raises(
        NoIsolation, match="could not be made: FileNotFoundError: /not/there should be readable"
    ):
        engines.ENGINES[0].start(policy, "attempts:inside")


@only_linux
def test_without_isolation_limits_hold() -> None:
    """In a process of its own: in one that has grown, a child lives on memory that was given back there."""
    command = [sys.executable, str(HERE / "attempts.py"), "none", "memory", "processor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["memory"]["answer"] == ["MemoryError", "ENOMEM", "done"]
    assert (seen["processor"]["answer"], seen["processor"]["ended"]) == (None, -signal.SIGKILL)


@forks
@only_linux
def test_without_isolation_loops_are_ended() -> None:
    started = engines.NONE.start(Policy(()), "attempts:inside")
    started.connection.sendall(json.dumps({"attempts": ["processor"]}).encode())
    assert started.kill() == -signal.SIGKILL


def test_standard_descriptors_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="must be 3 or more, it is 1"):
        sandbox.close_all_but(1)


ELSEWHERE = """
import sys

sys.modules["resource"] = None  # as on Windows
sys.platform = sys.argv[1]
from course_lib.grading.walls import engines

print(engines.engines(), engines.choose("none").name)
print(engines.doctor())
"""


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_no_engine_is_offered_and_doctor_says_what_to_do(platform: str) -> None:
    command = [sys.executable, "-c", ELSEWHERE, platform]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[] none\n")
    assert f"namespaces: does not work here: it needs Linux, this is {platform}" in done.stdout
    assert "macOS and Windows: use the container" in done.stdout


# -------------------------------------------------------------------------------------- the plan of the root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with links: python -> ../real/python, through -> real, circle -> circle."""
    (tmp_path / "real" / "python").mkdir(parents=True)
    (tmp_path / "real" / "python" / "file").write_text("x")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("../real/python")
    (tmp_path / "through").symlink_to(tmp_path / "real")
    (tmp_path / "circle").symlink_to("circle")
    return tmp_path.resolve()


def test_links_on_the_way_are_shown_too(tree: Path) -> None:
    plan = own_root.plan([tree / "bin" / "python" / "file", tree / "through" / "python"])
    assert plan.shown == [f"{tree}/real/python"]  # the file is in it
    assert plan.links == {f"{tree}/bin/python": "../real/python", f"{tree}/through": f"{tree}/real"}


def test_links_within_what_is_shown_need_no_second_one(tree: Path) -> None:
    plan = own_root.plan([tree, tree / "bin" / "python"])
    assert (plan.shown, plan.links) == ([str(tree)], {})


def test_only_what_is_shown_can_be_hidden(tree: Path) -> None:
    hidden = [tree / "through" / "python", tree / "bin", tree / "not there"]
    assert own_root.plan([tree / "real"], hidden).hidden == [f"{tree}/real/python"]


def test_path_that_is_not_there_and_circle_are_told(tree: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match="missing should be readable in the sandbox, but does not exist"
    ):
        own_root.plan([tree / "missing"])
    with pytest.raises(OSError, match="circle cannot be shown in the sandbox: its links lead in a circle"):
        own_root.plan([tree / "circle"])


def test_scratch_folder_covers_nothing(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    assert own_root.plan([tree]).scratch == "/scratch"
    monkeypatch.setattr(own_root, "SCRATCH", (str(tree), "/other"))
    assert own_root.plan([tree / "real"]).scratch == "/other"


# ------------------------------------------------------------------------------------------ the filter


def outcome(
    program: bytes, number: int, *, architecture: int, argument: int = 0, second: int = 0, flags: int = 0
) -> int:
    """What the kernel would answer to a call: the filter's few kinds of instructions, carried out.

    Args:
        argument: the first one.
        flags: the fourth.
    """
    data = struct.pack("=iIQQQQQ", number, architecture, 0, argument, second, 0, flags)
    instructions = list(struct.iter_unpack("HBBI", program))
    place, loaded = 0, 0
    while True:
        code, yes, no, value = instructions[place]
        place += 1
        if code == kernel.RETURN:
            return value
        if code == kernel.LOAD:
            loaded = struct.unpack_from("=I", data, value)[0]
            continue
        holds = {
            kernel.EQUAL: loaded == value,
            kernel.AT_LEAST: loaded >= value,
            kernel.ANY_BIT: bool(loaded & value),
        }[code]
        place += yes if holds else no


REFUSE = kernel.ERRNO | errno.EPERM


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_filter_refuses_what_it_should_and_nothing_else(machine: str) -> None:
    column, architecture = kernel.COLUMN[machine]
    program = kernel.seccomp_program(machine)

    def answer(number: int, argument: int = 0, second: int = 0, flags: int = 0) -> int:
        arguments = {"argument": argument, "second": second, "flags": flags}
        return outcome(program, number, architecture=architecture, **arguments)

    listed = {numbers[column] for numbers in kernel.REFUSED.values()} - {None}
    assert {answer(number) for number in listed} == {REFUSE}
    by_argument = (kernel.CLONE, kernel.CLONE3, kernel.PRCTL, kernel.SOCKETPAIR, kernel.MMAP, kernel.FCNTL)
    by_argument = (*by_argument, kernel.FLOCK)
    special = [numbers[column] for numbers in by_argument]
    others = set(range(500)) - listed - set(special)
    assert {answer(number) for number in others} == {kernel.ALLOW}
    clone, clone3, prctl, socketpair, mmap, fcntl, flock = special
    assert answer(clone, signal.SIGCHLD) == kernel.ALLOW
    assert answer(clone, signal.SIGCHLD | 0x10000000) == REFUSE
    assert answer(clone3) == kernel.ERRNO | errno.ENOSYS
    assert (answer(prctl, 1), answer(prctl, 4), answer(prctl, 15)) == (REFUSE, REFUSE, kernel.ALLOW)
    assert (answer(socketpair, 1), answer(socketpair, 30)) == (kernel.ALLOW, REFUSE)
    duplicate, test_lock, lock, lease, notify, size_of_pipe = 0, 5, 6, 1024, 1026, 1032
    assert {answer(fcntl, 1024, which) for which in (duplicate, test_lock, size_of_pipe)} == {kernel.ALLOW}
    assert {answer(fcntl, second=which) for which in (lease, notify)} == {REFUSE}
    assert answer(fcntl, second=lock) == answer(flock) == kernel.ERRNO  # done, they say
    shared, private, of_nothing = 1, 2, 0x20
    assert {answer(mmap, flags=flags) for flags in (shared, private, private | of_nothing)} == {kernel.ALLOW}
    assert answer(mmap, flags=shared | of_nothing) == REFUSE


def test_filter_kills_who_uses_other_numbers() -> None:
    program = kernel.seccomp_program("x86_64")
    _, architecture = kernel.COLUMN["x86_64"]
    assert outcome(program, 1, architecture=0x40000003) == kernel.KILL_PROCESS  # of 32 bits
    assert outcome(program, kernel.X32 | 41, architecture=architecture) == kernel.ERRNO | errno.ENOSYS
