"""Which model names are the house's own: a provider's model of that name is never asked in their place."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

REMEMBERED_S = 600.0
"""How long a name that is no longer served is "not ready" (503) rather than "unknown" (404): a worker
that is being replaced, on the same machine or another, is back by then."""


@dataclass(slots=True)
class OwnNames:
    """Names that workers serve or served, and names from the settings.

    What was ever one of them stays one for the life of the gateway, and across restarts as long as the saved
    snapshot names it: prompts for it do not leave the house.
    """

    clock: Callable[[], float] = time.time
    """Unix seconds: the times outlive the process."""
    _ever: set[str] = field(default_factory=set)
    _served: set[str] = field(default_factory=set)
    _gone: dict[str, float] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self._ever

    def claim(self, names: Iterable[str]) -> None:
        """These are the house's own, served or not."""
        self._ever.update(names)

    def now_served(self, names: Iterable[str]) -> None:
        """Exactly these are served by known workers now, whatever their state."""
        served = set(names)
        self._ever |= served
        now = self.clock()
        self._gone.update(dict.fromkeys(self._served - served, now))
        for name in served & self._gone.keys():
            del self._gone[name]
        self._served = served

    def lost_lately(self, name: str) -> bool:
        """Whether workers served it until a moment ago."""
        since = self._gone.get(name)
        return since is not None and self.clock() - since < REMEMBERED_S

    def gone(self) -> dict[str, float]:
        """Name that is no longer served -> since when, in Unix seconds."""
        return dict(self._gone)

    def recall(self, gone: Mapping[str, float]) -> None:
        """What an earlier process of this gateway knew."""
        self._ever.update(gone)
        self._gone.update({name: since for name, since in gone.items() if name not in self._served})
