"""A root folder of its own for the child: what it may read, a scratch folder, and nothing else.

What is not there cannot be read, whatever the child tries: no home folders, no other submissions, no /proc.
"""

import errno
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from course_lib.grading.walls import syscalls

# The second where something in the first has to be readable.
SCRATCH = ("/scratch", "/scratch-of-the-sandbox")
DEVICES = ("/dev/null", "/dev/urandom", "/dev/random")  # not zero: mapped, it is memory that nobody counts
MOST_NAMES = 4096  # files and folders in the scratch folder
TRIES = 50
SMALL = "size=1m,nr_inodes=4k,mode=0755"  # for folders and links alone


@dataclass(frozen=True)
class Plan:
    """What the root will hold, every path as it is outside.

    Attributes:
        shown: files and folders, none of them a link or within another.
        links: path of a symbolic link -> what it says.
        hidden: files and folders that stand within a shown folder and are covered with nothing.
        scratch: the folder to write to.
    """

    shown: list[str]
    links: dict[str, str]
    hidden: list[str]
    scratch: str


def plan(readable: Iterable[Path], hidden: Iterable[Path] = ()) -> Plan:
    """What has to be in the root so that these paths can be read, links on the way to them included.

    Raises:
        FileNotFoundError: a readable path does not exist.
        OSError: a link leads in a circle.
    """
    found: set[str] = set()
    links: dict[str, str] = {}
    for path in map(os.path.abspath, readable):
        try:
            os.stat(path)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(f"{path} cannot be shown in the sandbox: its links lead in a circle") from None
            raise FileNotFoundError(f"{path} should be readable in the sandbox, but does not exist") from None
        found.add(follow(path, links))
    shown = [path for path in sorted(found) if not within(path, found - {path})]
    links = {link: target for link, target in links.items() if not within(link, shown)}
    covered = sorted({os.path.realpath(path) for path in hidden if os.path.exists(path)})
    covered = [path for path in covered if path in found or within(path, shown)]
    taken = any(path == SCRATCH[0] or within(path, [SCRATCH[0]]) for path in [*shown, *links])
    return Plan(shown, links, covered, SCRATCH[1] if taken else SCRATCH[0])


def within(path: str, folders: Iterable[str]) -> bool:
    """Whether the path stands below one of the folders.

    Example:
        >>> within("/usr/lib/x", ["/usr/lib"]), within("/usr/lib64", ["/usr/lib"])
        (True, False)
    """
    return any(path.startswith(folder.rstrip("/") + "/") for folder in folders)


def follow(path: str, links: dict[str, str]) -> str:
    """Where a path really is; the links on the way are noted in `links`."""
    here = "/"
    for part in Path(path).parts:
        here = os.path.normpath(os.path.join(here, part))  # there is no link in it that .. could lead out of
        if os.path.islink(here):
            links[here] = os.readlink(here)
            here = follow(os.path.join(os.path.dirname(here), links[here]), links)
    return here


def build(plan: Plan, scratch_mb: int, owner: tuple[int, int]) -> None:
    """Make the root and enter it. The process has a mount namespace of its own and rights in it.

    Twice the root is exchanged: first for a small one that holds the old and the new one side by side, so
    that old paths can be reached wherever the first mount covers them; then for the new one, without the old.

    Args:
        scratch_mb: room in the scratch folder; it is in memory, and gone with the process.
        owner: (uid, gid) of the scratch folder.
    """
    # Nothing that we mount is seen outside, and nothing outside is changed.
    syscalls.mount("none", "/", "", syscalls.MS_REC | syscalls.MS_PRIVATE)
    base = next(path for path in ("/tmp", "/run", "/mnt", "/usr") if os.path.isdir(path))
    syscalls.mount("tmpfs", base, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, SMALL)
    os.chdir(base)
    os.mkdir("old")
    os.mkdir("new")
    syscalls.pivot_root(".", "old")
    os.chdir("/")
    syscalls.mount("tmpfs", "/new", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, SMALL)
    fill("/old", "/new", plan)
    make_scratch("/new" + plan.scratch, scratch_mb, owner)
    os.chdir("/new")
    syscalls.pivot_root(".", ".")  # the old root now covers the new one ...
    syscalls.unmount(".")  # ... and goes
    os.chdir("/")
    remount_read_only("/")
    os.chdir(plan.scratch)


def fill(old: str, new: str, plan: Plan) -> None:
    """Show what the plan says, read-only, and the devices."""
    harmless = syscalls.MOUNT_ATTR_RDONLY | syscalls.MOUNT_ATTR_NOSUID
    for path in plan.shown:
        show(old + path, new + path)
        syscalls.add_to_mount(new + path, harmless | syscalls.MOUNT_ATTR_NODEV)
    for path, target in plan.links.items():
        os.makedirs(os.path.dirname(new + path), mode=0o755, exist_ok=True)
        os.symlink(target, new + path)
    for path in plan.hidden:
        cover(old, new + path)
    for path in DEVICES:
        show(old + path, new + path)
        syscalls.add_to_mount(new + path, harmless)


def show(source: str, target: str) -> None:
    """Make a file or folder visible at another place as well."""
    if os.path.isdir(source):
        os.makedirs(target, mode=0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    syscalls.mount(source, target, "", syscalls.MS_BIND | syscalls.MS_REC)


def cover(old: str, target: str) -> None:
    """Put an empty folder over a folder, and an empty file over a file."""
    if os.path.isdir(target):
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_RDONLY
        syscalls.mount("tmpfs", target, "tmpfs", flags, "size=4k,nr_inodes=2,mode=0755")
    else:
        syscalls.mount(f"{old}/dev/null", target, "", syscalls.MS_BIND)


def make_scratch(target: str, scratch_mb: int, owner: tuple[int, int]) -> None:
    """The one folder that can be written to: working folder, home and temporary files."""
    os.mkdir(target)
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    syscalls.mount("tmpfs", target, "tmpfs", flags, f"size={scratch_mb}m,nr_inodes={MOST_NAMES},mode=0700")
    os.chown(target, *owner)


def remount_read_only(target: str) -> None:
    """Close a mount of ours, and that one alone: the scratch folder below it stays open."""
    flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY
    for left in reversed(range(TRIES)):
        try:
            syscalls.mount("none", target, "", flags | syscalls.MS_NOSUID | syscalls.MS_NODEV)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or not left:
                raise
        time.sleep(0.02)  # the kernel has not quite closed a file of ours
