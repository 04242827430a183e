"""A reference interpreter: what a small module can be seen to do, over all schedules that its edges allow.

It shares nothing with the engine but the text form's data classes: op effects, call inlining and reachability are
its own. Values are terms, so two results are equal only if they were computed alike from the same states.

Branches and loops are expanded as well, loops for a few rounds; each step of a branch has *guards*, and runs only
where they hold. Which way a predicate goes is drawn for its term and the *world* given, so that equal predicates go
the same way in both programs.
"""

from tests.engine.interpreter.expansion import UnknownHere, expand, named_resources
from tests.engine.interpreter.program import Term
from tests.engine.interpreter.schedules import TooManySchedules, outcomes

__all__ = ["Term", "TooManySchedules", "UnknownHere", "expand", "named_resources", "outcomes"]
