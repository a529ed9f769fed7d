"""The windows' Redis: gone and back, or emptied."""

from __future__ import annotations

import subprocess

from benchmarks.chaos.faults.fault import Fault
from benchmarks.chaos.stage import Stage


class RedisRestarted(Fault):
    """The Redis is killed and comes back empty."""

    name = "redis_restarted"
    title = "Redis killed, back after {hold:g} s, empty"
    goal = 5.0

    def inject(self, stage: Stage) -> None:
        """Kills it."""
        stage.redis.stop()

    def heal(self, stage: Stage) -> None:
        """Starts it."""
        stage.redis.start()


class RedisEmptied(Fault):
    """The Redis loses its data and lives: FLUSHALL."""

    name = "redis_emptied"
    title = "Redis data lost (FLUSHALL)"
    goal = 5.0

    def inject(self, stage: Stage) -> None:
        """Empties it."""
        subprocess.run(
            ["redis-cli", "-p", str(stage.redis.port), "FLUSHALL"], check=True, capture_output=True, timeout=10
        )
