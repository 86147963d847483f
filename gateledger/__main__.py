"""The command line: `gateledger …`, or `python -m gateledger …`."""

from __future__ import annotations

import os
import sys

# 128 + SIGPIPE and SIGINT, as shells have it.
READER_GONE, INTERRUPTED = 141, 130
UNUSABLE = 2


def main() -> None:
    """Run a command and end with its exit code; what nobody expected is a sentence, not a traceback."""
    try:
        code = _run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe is gone (| head). Nothing may be flushed at exit, where it would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = READER_GONE
    except KeyboardInterrupt:
        code = INTERRUPTED
    except OSError as error:
        sys.stderr.write(f"Error: {error}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = UNUSABLE
    sys.exit(code)


def _run() -> int:
    if sys.stdout is None or sys.stderr is None:
        return UNUSABLE  # started with a closed standard output: there is nobody to tell
    # Imported here, so that Ctrl-C is handled from the start.
    import click  # noqa: PLC0415

    from gateledger.cli.commands import cli  # noqa: PLC0415

    # Not cli.main(): that answers a closed pipe with exit code 1, which here means "no".
    try:
        with cli.make_context("gateledger", sys.argv[1:]) as context:
            cli.invoke(context)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0


if __name__ == "__main__":
    main()
