"""The command line: its verbs are in ``advcam.verbs.table``; here are streams, signals and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from advcam import __version__
from advcam.errors import Help, UserError
from advcam.verbs.table import VERBS

# Exit codes; an interrupted run ends as the shell's convention for SIGINT and SIGTERM has it.
DONE, FAILED, BAD_USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C stops, it stops."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. A closed pipe, as of ``| head``, never fails a run."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    keep_streams_open()
    if not words or words[0] in ("-h", "--help", "help"):
        return show(help_text())
    if words[0] == "--version":
        return show(f"advcam {__version__}")
    # Threads that wait should sleep: spinning ones slow everything down many times where other programs use the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # What torch's convolutions keep of every size of picture that they have met: 1024 of them take hundreds of MB.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    name, *rest = words
    if name not in VERBS:
        return complain(f"there is no verb {name!r}{nearest(name)}: see `advcam --help`")
    try:
        with terminable():
            try:
                VERBS[name].work(name, rest)
            except Help as text:
                show(str(text))
    except UserError as error:
        # The option as it is typed.
        return complain(" ".join(str(error).split()).replace(" skip_bad", " --skip-bad"))
    except KeyboardInterrupt as interruption:
        kept = f": {interruption}" if str(interruption) else ""
        tell(f"\nadvcam {name} interrupted{kept}. The same command goes on from there.")
        stopped_by_term = isinstance(interruption, Terminated) or isinstance(interruption.__context__, Terminated)
        return TERMINATED if stopped_by_term else INTERRUPTED
    except SystemExit as stop:
        # A training that SIGTERM stopped has saved its state.
        if stop.code != TERMINATED:
            raise
        tell(f"\nadvcam {name} interrupted: what is done is kept. The same command goes on from there.")
        return TERMINATED
    finally:
        keep_streams_open()
    return DONE


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM stops a command as Ctrl-C does; only the main thread may say so."""

    def stop(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def keep_streams_open() -> None:
    """Let output that nobody reads go nowhere: a stream that was closed, or whose reader has gone."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
            if stream is getattr(sys, f"__{name}__") and stream is not None:
                # Else Python says at its end what is left in the buffer, and ends with an exit code of its own.
                os.dup2(nowhere.fileno(), number)
            setattr(sys, name, nowhere)


def show(text: str) -> int:
    """Text that was asked for."""
    try:
        print(text)
        sys.stdout.flush()
    except OSError:
        keep_streams_open()
    return DONE


def tell(text: str) -> None:
    """A line on standard error, if that can take it."""
    try:
        print(text, file=sys.stderr)
    except (OSError, ValueError):
        keep_streams_open()


def complain(sentence: str) -> int:
    tell(f"advcam: {sentence}")
    return BAD_USAGE


def nearest(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, VERBS, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def help_text() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            "usage: advcam VERB ...",
            "",
            "Pixel masks from class labels, by anti-adversarial climbing of class activation maps.",
            "",
            *lines,
            "",
            "advcam VERB --help lists a verb's settings. First steps:",
            "  advcam demo                                          see what it does, on generated scenes",
            "  advcam doctor --data FOLDER                          check your data set",
            "  advcam run --data FOLDER --out runs/mine             images and class labels in, masks and a report out",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
