"""How a peer's script answers, in an environment without hepjax: by the standard library alone."""

import sys
import time
from collections.abc import Callable


def answer(*functions: Callable[[], float]) -> None:
    """Say "ready", and then answer each name of a function, a line of the standard input, with "CPU
    seconds, value" of a call, until the input ends.
    """
    answers = {function.__name__: function for function in functions}
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.process_time()
        value = float(answers[line.strip()]())
        print(time.process_time() - start, value, flush=True)
