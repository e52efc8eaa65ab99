"""Compiles the numeric kernels once, in a process of its own, so that the workers start from the cache."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from qanat.core.errors import EnvironmentProblem

_CODE = """
import sys
from qanat.sim.module import warm_up as light
from qanat.distill.warm_up import warm_up as distill
def say(text): print(text, flush=True)
light(say); distill(say)
"""


class KernelsFailed(EnvironmentProblem):
    """The numeric kernels could not be compiled. `qanat doctor` checks numba and its cache folder."""


def warm_kernels(say: Callable[[str], None]) -> None:
    """Compile or load every kernel; the first time on a machine takes about half a minute.

    Raises:
        KernelsFailed: with the last line of the compiler's complaint.
    """
    compiler = subprocess.Popen(
        [sys.executable, "-c", _CODE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        complaint = _follow(compiler, say)
    finally:
        compiler.kill()  # Ctrl-C or SIGTERM: half a minute of compiling must not outlive us
        compiler.wait()
    if compiler.returncode:
        raise KernelsFailed(complaint[-1] if complaint else f"exit code {compiler.returncode}")


def _follow(compiler: subprocess.Popen[str], say: Callable[[str], None]) -> list[str]:
    """Repeat what it says until it ends; the lines of its complaint."""
    if compiler.stdout is None or compiler.stderr is None:
        raise KernelsFailed
    for line in compiler.stdout:
        say(line.rstrip())
    complaint = compiler.stderr.read().strip().splitlines()
    compiler.wait()
    return complaint
