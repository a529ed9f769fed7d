"""How the interpreter of a serving process behaves: what it collects, and how soon a waiting thread gets its turn."""

from __future__ import annotations

import gc
import sys

# By default a thread that waits for the interpreter's lock asks for it after 5 ms. An engine thread does so twice a
# batch, when it is handed one and when it has computed it, and a busy event loop seldom gives it up before it is asked:
# such batches took longer to begin and to end than to compute.
_SWITCH_INTERVAL = 1e-4


def settle() -> None:
    """Prepares a process that has loaded what it serves with; once, before it takes requests.

    What is there now stays: the collector need not look through libraries and models again and again, which would stop
    the event loop for tens of milliseconds each time.
    """
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(_SWITCH_INTERVAL)
