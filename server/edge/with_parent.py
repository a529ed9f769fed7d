"""Becomes another program that ends with its parent: `python -m server.edge.with_parent PROGRAM ARGUMENT...`.

A process that is killed cannot end its children, and an edge without a service would hold the public ports. The kernel
keeps the promise across `execv`. Not done between fork and exec of the parent, which has threads.
"""

from __future__ import annotations

import os
import sys

from server import process_tree

if __name__ == "__main__":
    process_tree.die_with_parent()
    os.execv(sys.argv[1], sys.argv[1:])
