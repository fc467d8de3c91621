"""When a message that was not acknowledged is sent again."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebhookPace:
    """Times in seconds. After a failure a message is tried again after `retry`, which doubles with each further one up
    to `retry_max`, ± 50 % at random. After `give_up` the webhook is suspended."""

    retry: float = 5.0
    retry_max: float = 3_600.0
    give_up: float = 3 * 86_400.0

    def pause(self, failures: int) -> float:
        return random.uniform(0.5, 1.5) * min(self.retry * 2.0 ** min(failures - 1, 30), self.retry_max)
