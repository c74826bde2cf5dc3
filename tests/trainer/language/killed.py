"""A pre-training that is killed after some time, wherever it is then: OUTPUT SECONDS."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from puna_trainer.language.pretrain import pretrain
from tests.trainer.language.runs import context_of, resumable_run


def main(output: Path, seconds: float) -> None:
    context = context_of(resumable_run(output))
    killer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    killer.daemon = True
    killer.start()
    pretrain(context)
    context.reporter.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
