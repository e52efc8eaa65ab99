"""What a process that holds keys asks of the kernel: no core dump, no debugger of the same user, no swap.

Each is asked for and none is required: containers and other systems refuse some. The log says which hold.
"""

from __future__ import annotations

import ctypes
import resource
import sys
from dataclasses import dataclass

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4  # asm-generic/mman.h


@dataclass(frozen=True, slots=True)
class Hardening:
    """What the kernel granted.

    Attributes:
        has_no_core: A crash writes no memory to the disk.
        is_undumpable: Other processes of this user cannot read the memory; root can.
        is_locked: Memory is not swapped out.
    """

    has_no_core: bool
    is_undumpable: bool
    is_locked: bool

    def __str__(self) -> str:
        return (
            f"core dumps {'off' if self.has_no_core else 'NOT off'}, memory "
            f"{'closed to other processes' if self.is_undumpable else 'NOT closed to other processes'} and "
            f"{'locked against swapping' if self.is_locked else 'NOT locked against swapping'}"
        )


def harden() -> Hardening:
    """Ask for all three, for this process and for good."""
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        has_no_core = True
    except (OSError, ValueError):
        has_no_core = False
    if sys.platform != "linux":
        return Hardening(has_no_core, is_undumpable=False, is_locked=False)
    libc = ctypes.CDLL(None, use_errno=True)
    return Hardening(has_no_core, libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0, _locked(libc))


def may_lock() -> bool:
    """Whether this machine lets us lock all memory."""
    return sys.platform == "linux" and resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY


def _locked(libc: ctypes.CDLL) -> bool:
    """Lock only where there is no limit: below one, a later allocation would fail and end the KME.

    Pages are locked as they are touched, so stacks of threads do not grow to their full size.
    """
    if not may_lock():
        return False
    return bool(libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0)
