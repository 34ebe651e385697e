"""Every case in which npconv means to refuse, or to differ: the case, and API.md's sentence.

A rule names a referee, a pattern for its cases and a pattern for what happened, both searched
for with `re`. A rule that no case needs any more is an error, as is a case without a rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from referees.verdict import Verdict


@dataclass(frozen=True)
class Rule:
    """One kind of case that stands by contract."""

    referee: str
    case: str
    detail: str
    contract: str

    def covers(self, verdict: Verdict) -> bool:
        """Whether this rule is about that case and what happened to it."""
        return (
            self.referee == verdict.referee
            and re.search(self.case, verdict.case) is not None
            and re.search(self.detail, verdict.detail) is not None
        )


RULES: tuple[Rule, ...] = ()
