"""The executor of Strawberry's ordinary way: it lets finished JSON through.

A root field's resolver answers with an `orjson.Fragment`, which is already complete: everything below the root field
was selected, named and ordered by the statement that made it.
"""

from __future__ import annotations

from typing import Any

import orjson
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext


class Executor(StrawberryGraphQLCoreExecutionContext):
    def complete_value(self, return_type: Any, details: Any, info: Any, path: Any, result: Any, *rest: Any) -> Any:
        if isinstance(result, orjson.Fragment):
            return result
        return super().complete_value(return_type, details, info, path, result, *rest)
