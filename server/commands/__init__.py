"""The server's commands of the `tickserve` CLI, one a file; they join it through entry points.

None of them imports Ray at module level: the runtime environment must be in force before Ray is first imported.
"""
