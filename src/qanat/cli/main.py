"""``qanat``: all commands, their exit codes, and what people see when something goes wrong.

Exit codes: 0 fine, 1 the answer is no, 2 misuse, 3 the environment does not allow it, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from qanat.cli import network_commands, study_commands, module_commands, live_commands, kme_commands  # isort: skip - as --help lists
from qanat.cli import seal_commands, integrate_commands, sae_commands, skip_commands  # isort: skip
from qanat.cli.app import app
from qanat.core.errors import EnvironmentProblem, QanatError

__all__ = [
    "app",
    "integrate_commands",
    "kme_commands",
    "live_commands",
    "main",
    "module_commands",
    "network_commands",
    "sae_commands",
    "seal_commands",
    "skip_commands",
    "study_commands",
]


def main() -> None:
    """The console script: one clear message for people, never a traceback for what can be expected."""
    try:
        app(standalone_mode=True)
    except QanatError as error:
        _end(str(error), error.exit_code)
    except KeyboardInterrupt:
        _end("interrupted", 130)
    except SystemExit as end:
        if end.code == 130:  # how typer passes Ctrl-C on, without a word
            _end("interrupted", 130)
        raise
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:  # a full disk, a file that may not be touched: not our bug, so no traceback
        _end(f"{error}; `qanat doctor` looks at the usual causes", EnvironmentProblem.exit_code)
    except Exception as error:
        if "KeyboardInterrupt" in str(error):  # Ctrl-C while pydantic builds a model comes out as an error of its own
            _end("interrupted", 130)
        raise


def _end(text: str, code: int) -> NoReturn:
    typer.echo(f"qanat: {text}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
