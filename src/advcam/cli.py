"""The command line: its verbs are in ``advcam.verbs.table``; here are streams, signals and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from advcam import __version__
from advcam.errors import Help, UserError, did_you_mean
from advcam.verbs.table import VERBS

# Exit codes; an interrupted run ends as the shell's convention for SIGINT and SIGTERM has it.
DONE, FAILED, BAD_USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
# Seconds that threads have to finish what they are at when a command is stopped: a batch may take minutes, and is lost.
GRACE = 5.0


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C stops, it stops."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. A closed pipe, as of ``| head``, never fails a run.

    Without ``arguments`` this process is the command, and ends with it: no thread keeps it when it is stopped.
    """
    if arguments is not None:
        return answer(list(arguments))
    code = answer(sys.argv[1:], GRACE)
    if code in (INTERRUPTED, TERMINATED):
        leave(code)
    return code


def answer(words: list[str], grace: float | None = None) -> int:
    """Do what a command line says; ``grace`` as for ``stoppable``."""
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
        return complain(f"there is no verb {name!r}{did_you_mean(name, VERBS, '{!r}')}: see `advcam --help`")
    try:
        with stoppable(name, grace):
            try:
                VERBS[name].work(name, rest)
            except Help as text:
                show(str(text))
    except UserError as error:
        # The option as it is typed.
        return complain(" ".join(str(error).split()).replace(" skip_bad", " --skip-bad"))
    except KeyboardInterrupt as interruption:
        tell(interrupted(name, str(interruption)))
        stopped_by_term = isinstance(interruption, Terminated) or isinstance(interruption.__context__, Terminated)
        if grace is not None:
            # Before what waits for threads: the frames of the error hold them.
            leave(TERMINATED if stopped_by_term else INTERRUPTED)
        return TERMINATED if stopped_by_term else INTERRUPTED
    except SystemExit as stop:
        # A training that SIGTERM stopped has saved its state.
        if stop.code != TERMINATED:
            raise
        tell(interrupted(name, "what is done is kept"))
        return TERMINATED
    finally:
        keep_streams_open()
    return DONE


def interrupted(name: str, kept: str) -> str:
    return f"\nadvcam {name} interrupted{': ' * bool(kept)}{kept}. The same command goes on from there."


def leave(code: int) -> NoReturn:
    """End this process now, whatever its threads are at: what they have not finished counts as not begun."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(code)


@contextmanager
def stoppable(name: str, grace: float | None) -> Iterator[None]:
    """SIGTERM stops a command as Ctrl-C does; only the main thread may say so.

    Args:
        name: the verb.
        grace: seconds after which this process ends by itself; None where it does more than this command.
    """

    def late(code: int) -> None:
        tell(interrupted(name, "what is done is kept"))
        leave(code)

    def stop(number: int, _: object) -> None:
        by_term = number == signal.SIGTERM
        if grace is not None:
            timer = threading.Timer(grace, late, (TERMINATED if by_term else INTERRUPTED,))
            timer.daemon = True
            timer.start()
        raise Terminated if by_term else KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stopping = [signal.SIGTERM]
    if grace is not None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        stopping.append(signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in stopping}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
