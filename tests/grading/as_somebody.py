"""Run a command as somebody else, for the tests of the sandbox; started by root.

    python as_somebody.py user FOLDER... -- COMMAND      as user 1000
    python as_somebody.py container -- COMMAND           as root with the rights that a container's root has

The interpreter may stand below a folder that root alone may enter. The user therefore gets a root folder in
which it, the course and the given folders are visible, /scratch and shared memory to write to, and a /proc.
"""

import os
import sys
from pathlib import Path

from course_lib.grading.walls import own_root, sandbox, syscalls

USER = (1000, 1000)
# What Docker and Podman leave to root: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
# net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap
CONTAINER = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}


def become_user(folders: list[str]) -> None:
    """An own root with what the command needs, then another user without rights."""
    course = Path(__file__).parents[2]
    system = [Path(path) for path in ("/usr", "/bin", "/proc", "/sys", "/dev/shm") if os.path.exists(path)]
    plan = own_root.plan((*system, *sandbox.interpreter_paths(), course, *map(Path, folders)))
    syscalls.unshare(syscalls.CLONE_NEWNS)
    own_root.build(plan, 256, USER)
    syscalls.mount("proc", "/proc", "proc")  # one that can be written to
    if os.path.isdir("/dev/shm"):
        syscalls.mount("tmpfs", "/dev/shm", "tmpfs")  # for the locks of several workers
        os.chmod("/dev/shm", 0o1777)
    sandbox.become(USER)
    os.environ.update(HOME=own_root.SCRATCH[0], TMPDIR=own_root.SCRATCH[0])


def become_container() -> None:
    """No rights but those of a container's root, from the next program on."""
    for capability in range(64):
        if capability not in CONTAINER:
            try:
                syscalls.prctl(syscalls.PR_CAPBSET_DROP, capability)
            except OSError:
                return  # beyond the last


if __name__ == "__main__":
    who, *arguments = sys.argv[1:]
    end = arguments.index("--")
    if who == "user":
        become_user(arguments[:end])
    else:
        become_container()
    os.execv(arguments[end + 1], arguments[end + 1 :])
