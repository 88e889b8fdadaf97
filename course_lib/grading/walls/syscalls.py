"""The few calls of Linux that Python does not offer. Each raises OSError with the call's name.

Nothing here decides anything: what is confined, and how, is in `sandbox`, `own_root` and `kernel`.
"""

import ctypes
import os
import platform
import struct
from functools import cache
from pathlib import Path

# unshare(2)
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP = 0x10000000, 0x20000000, 0x40000000, 0x02000000
NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER
NEW_NAMESPACES |= CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP  # all of them

# mount(2), umount(2)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
MNT_DETACH = 2

# mount_setattr(2): what to add to a mount and to all below it
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
AT_FDCWD, AT_RECURSIVE = -100, 0x8000

# prctl(2)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4

# capabilities(7)
CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN = 6, 7, 21

# Calls without a function in the C library, by number (asm/unistd_64.h, asm-generic/unistd.h).
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
MOUNT_SETATTR = 442
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446


@cache
def libc() -> ctypes.CDLL:
    """The C library that this Python runs on."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


@cache
def machine() -> str:
    """The processor's family, as the tables here name it.

    Raises:
        OSError: neither x86_64 nor aarch64, whose numbers are all that we have.
    """
    name = platform.machine()
    if name not in PIVOT_ROOT:
        raise OSError(f"the sandbox knows x86_64 and aarch64, this machine is {name}")
    return name


def called(name: str, result: int, about: str = "") -> int:
    """The result of a call of the C library, which says -1 where it failed."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{about and ' ' + about}: {os.strerror(number)}")
    return result


def syscall(name: str, number: int, *arguments: object) -> int:
    """A call by its number; numbers go as long, as the kernel reads them (syscall(2))."""
    ctypes.set_errno(0)
    plain = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return called(name, libc().syscall(ctypes.c_long(number), *plain))


def unshare(flags: int) -> None:
    """Leave the namespaces that the flags name for new ones, unshare(2)."""
    called("unshare", libc().unshare(ctypes.c_int(flags)), hex(flags))


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    texts = [text.encode() for text in (source, target, kind, options)]
    result = libc().mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])
    called("mount", result, f"{source} on {target}")


def add_to_mount(target: str, attributes: int) -> None:
    """Add attributes to a mount and to all below it, mount_setattr(2), since Linux 5.12.

    Unlike mount(2) with MS_REMOUNT it leaves alone what is set already, which in a user namespace it has to.
    """
    wanted = struct.pack("4Q", attributes, 0, 0, 0)  # struct mount_attr: to set, to clear, two more
    place = target.encode()
    syscall("mount_setattr", MOUNT_SETATTR, AT_FDCWD, place, AT_RECURSIVE, wanted, len(wanted))


def unmount(target: str) -> None:
    """Take a mount and all below it away as soon as nobody uses them, umount2(2)."""
    called("umount2", libc().umount2(target.encode(), ctypes.c_int(MNT_DETACH)), target)


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and put the present one at `old`, pivot_root(2)."""
    syscall("pivot_root", PIVOT_ROOT[machine()], new.encode(), old.encode())


def prctl(option: int, *arguments: object) -> int:
    """prctl(2)."""
    plain = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in arguments]
    plain += [ctypes.c_ulong(0)] * (4 - len(plain))
    return called("prctl", libc().prctl(ctypes.c_int(option), *plain), str(option))


def has_capabilities(*wanted: int) -> bool:
    """Whether this process has all of these capabilities."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    mask = int(line.split()[1], 16)
    return all(mask >> capability & 1 for capability in wanted)


def give_up_capabilities() -> None:
    """Give up all capabilities, for good: capabilities(7), capset(2)."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # beyond the last that this kernel knows, or not ours to drop, and then not ours to have
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    nothing = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits
    called("capset", libc().capset(ctypes.byref(header), ctypes.byref(nothing)))
