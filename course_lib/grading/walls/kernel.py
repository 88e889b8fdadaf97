"""Two walls of the kernel that a process puts around itself and can never take down: seccomp and Landlock.

seccomp refuses calls by their number, some of them by an argument. Landlock refuses files by where they
stand, also where somebody found a way around the own root.
"""

import ctypes
import errno
import os
import struct

from course_lib.grading.walls import syscalls
from course_lib.grading.walls.syscalls import prctl, syscall

# ------------------------------------------------------------------------------------------------- seccomp

# What is refused: by name, the numbers on x86_64 and aarch64. None: aarch64 has no such call.
REFUSED: dict[str, tuple[int, int | None]] = {
    # The network, and sockets that stand in a folder. A socketpair leads nowhere and may stay.
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # Other programs. A thread that starts one would also lose the signal that comes when the parent dies.
    "execve": (59, 221),
    "execveat": (322, 281),
    # Other processes' memory and descriptors.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # Namespaces and mounts: a new user namespace opens much of the kernel.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # Memory that no limit counts. Sockets keep small buffers, and are counted (`sandbox.n_sockets`).
    "setsockopt": (54, 208),
    "sendmsg": (46, 211),  # descriptors on their way belong to no process
    "sendmmsg": (307, 269),
    "splice": (275, 76),
    "tee": (276, 77),
    "vmsplice": (278, 75),  # pages stay in a pipe when the process has given them back
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "io_setup": (206, 0),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    # A share of the processor for each session, as the scheduler's autogroups give it; all disks at work.
    "setsid": (112, 157),
    "sync": (162, 81),
    "syncfs": (306, 267),
    # Memory that no limit counts either, and that outlives a process.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    # Large parts of the kernel that no exercise needs and that were often broken into.
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    # The machine itself. All of it needs rights that the child does not have either.
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
}
CLONE, CLONE3, PRCTL, SOCKETPAIR, MMAP = (56, 220), (435, 435), (157, 167), (53, 199), (9, 222)
FCNTL, FLOCK = (72, 25), (73, 32)
LEASE, NOTIFY = 1024, 1026  # F_SETLEASE, F_NOTIFY: others would wait, or have us told what they do
RECORD_LOCKS = (6, 7, 37, 38)  # F_SETLK, F_SETLKW, and both of an open file (F_OFD_...), fcntl(2)
MAP_SHARED, MAP_ANONYMOUS = 0x01, 0x20  # mmap(2)

# linux/bpf_common.h: load a word, compare, return
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# linux/seccomp.h: offsets in struct seccomp_data (the low half of an argument, on little-endian machines)
NUMBER, ARCHITECTURE, FIRST_ARGUMENT, SECOND_ARGUMENT, FOURTH_ARGUMENT = 0, 4, 16, 24, 40
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
# linux/audit.h; the order of the columns above
COLUMN = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
X32 = 0x40000000  # from here on x86_64 has a second set of numbers for the same calls, and others have none
SECCOMP_MODE_FILTER = 2


def instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """struct sock_filter: what to do, and how many instructions to leap where a comparison holds or not."""
    return struct.pack("HBBI", code, yes, no, value)


def on(number: int, *answer: bytes) -> bytes:
    """Instructions for this call alone. The number is loaded."""
    return instruction(EQUAL, number, no=len(answer)) + b"".join(answer)


def refuse(number: int, error: int) -> bytes:
    """Answer this call with an error."""
    return on(number, instruction(RETURN, ERRNO | error))


def refuse_by_argument(
    number: int,
    comparison: int,
    *values: int,
    where: bool = True,
    argument: int = FIRST_ARGUMENT,
    error: int = errno.EPERM,
) -> bytes:
    """Answer this call with an error where its argument compares so with a value (or, `where=False`, not)."""
    skip = 0 if where else 1
    compared = []
    for value in values:
        compared.append(instruction(comparison, value, yes=skip, no=1 - skip))
        compared.append(instruction(RETURN, ERRNO | error))
    return on(number, instruction(LOAD, argument), *compared, instruction(LOAD, NUMBER))


def refuse_shared_memory(mmap: int) -> bytes:
    """Refuse memory without a file that processes share: it stays when each has let go of its pages."""
    return on(
        mmap,
        instruction(LOAD, FOURTH_ARGUMENT),
        instruction(ANY_BIT, MAP_ANONYMOUS, no=2),
        instruction(ANY_BIT, MAP_SHARED, no=1),
        instruction(RETURN, ERRNO | errno.EPERM),
        instruction(RETURN, ALLOW),
    )


def seccomp_program(machine: str) -> bytes:
    """The filter, as the kernel reads it (seccomp(2)).

    Args:
        machine: "x86_64" or "aarch64".
    """
    column, architecture = COLUMN[machine]
    parts = [
        instruction(LOAD, ARCHITECTURE),
        instruction(EQUAL, architecture, yes=1),
        instruction(RETURN, KILL_PROCESS),  # 32-bit calls have other numbers
        instruction(LOAD, NUMBER),
        instruction(AT_LEAST, X32, no=1),
        instruction(RETURN, ERRNO | errno.ENOSYS),
        # clone3 hides its flags behind a pointer. The C library takes clone where clone3 is missing.
        refuse(CLONE3[column], errno.ENOSYS),
        refuse_by_argument(CLONE[column], ANY_BIT, syscalls.NEW_NAMESPACES),
        # The signal that comes when the parent dies stays on, and memory can be counted from outside.
        refuse_by_argument(PRCTL[column], EQUAL, syscalls.PR_SET_PDEATHSIG, syscalls.PR_SET_DUMPABLE),
        refuse_by_argument(SOCKETPAIR[column], EQUAL, 1, where=False),  # AF_UNIX only
        refuse_by_argument(FCNTL[column], EQUAL, LEASE, NOTIFY, argument=SECOND_ARGUMENT),
        # No limit counts record locks, and others would wait for a lock of a package's file. SQLite wants
        # them: they are answered as if they were there, since nobody else has what a submission writes.
        refuse(FLOCK[column], 0),
        refuse_by_argument(FCNTL[column], EQUAL, *RECORD_LOCKS, argument=SECOND_ARGUMENT, error=0),
        refuse_shared_memory(MMAP[column]),
    ]
    for numbers in REFUSED.values():
        number = numbers[column]
        if number is not None:
            parts.append(refuse(number, errno.EPERM))
    parts.append(instruction(RETURN, ALLOW))
    return b"".join(parts)


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def no_new_rights() -> None:
    """From now on no program that is started gives more rights than we have. Both walls ask for it."""
    prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)


def seccomp() -> None:
    """Refuse the calls above, in this process and all that it starts."""
    code = seccomp_program(syscalls.machine())
    program = Program(length=len(code) // 8, filter=code)
    prctl(syscalls.PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))


# ------------------------------------------------------------------------------------------------ Landlock

# linux/landlock.h, LANDLOCK_ACCESS_FS_*: how many rights each version of the interface knows
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16, 6: 16, 7: 16}
NEWEST = max(FILE_RIGHTS)
BIND_AND_CONNECT_TCP = 0b11  # since version 4
ABSTRACT_SOCKETS_AND_SIGNALS = 0b11  # since version 6
VERSION_ONLY = 1
PATH_BENEATH = 1


def landlock_version() -> int:
    """The kernel's version of Landlock's interface; 0 where it has none."""
    try:
        return syscall("landlock_create_ruleset", syscalls.LANDLOCK_CREATE_RULESET, None, 0, VERSION_ONLY)
    except OSError:
        return 0


def landlock(rights: dict[str, int]) -> None:
    """Allow these rights below these folders, and no others anywhere; no TCP, no signals to others.

    Where the kernel has no Landlock, this wall is not there.

    Args:
        rights: folder -> a sum of the rights above. Those that the kernel does not know yet are left out.
    """
    version = min(landlock_version(), NEWEST)
    if version == 0:
        return
    known = (1 << FILE_RIGHTS[version]) - 1
    attributes = struct.pack("QQQ", known, BIND_AND_CONNECT_TCP, ABSTRACT_SOCKETS_AND_SIGNALS)
    size = 8 if version < 4 else 16 if version < 6 else 24  # bytes of them that the kernel reads
    rules = syscall("landlock_create_ruleset", syscalls.LANDLOCK_CREATE_RULESET, attributes, size, 0)
    for folder, allowed in rights.items():
        place = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", allowed & known, place)  # struct landlock_path_beneath_attr
        syscall("landlock_add_rule", syscalls.LANDLOCK_ADD_RULE, rules, PATH_BENEATH, rule, 0)
        os.close(place)
    syscall("landlock_restrict_self", syscalls.LANDLOCK_RESTRICT_SELF, rules, 0)
    os.close(rules)
