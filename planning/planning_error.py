"""Owns the errors of planning. Must not know how they are shown.

- ``PlanningError``
  - ``InvalidDemandError``: what is asked for contradicts itself
  - ``InvalidBudgetsError``: a file of budgets or costs cannot be used
  - ``UnreachableGoalError``: no number of replicas keeps a goal
"""


class PlanningError(Exception):
    """A plan cannot be made. The message names the option and the remedy.

    Attributes:
        option: Of the command line, such as ``--slo``.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option


class InvalidDemandError(PlanningError):
    """The load or the goals contradict themselves."""


class InvalidBudgetsError(PlanningError):
    """A file of budgets or costs is missing, unreadable, or lacks a figure."""


class UnreachableGoalError(PlanningError):
    """One replica alone, hardly loaded, misses a goal: more of them would, too."""
