"""Memory over millions of records, of every kind: good and bad, too large, tombstones, aborted transactions.

`scripts/bench --soak` measures the same with the reference policy and good records only.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression

from tests.audit import Audit
from tests.ordeal import Feed, Site
from tests.service import Running

_AHEAD = 100_000  # records that may wait in the source
_STANDS_STILL = 60.0  # seconds without progress
_SETTLED = 0.25  # of all records: until then buffers, caches and the allocator's pools fill up
_FLAT = 5.0  # megabytes per million records: two of the smallest arenas of the allocator


@dataclass
class Soak:
    """One process, `count` records. `tell` hears now and then of records done and megabytes."""

    site: Site
    count: int
    tell: Callable[[int, float], object] = lambda _done, _megabytes: None
    samples: list[tuple[int, float]] = field(default_factory=list)
    """Records done, and resident megabytes then."""

    @property
    def slope(self) -> float:
        """Megabytes per million records, by least squares over the settled samples."""
        settled = [(done / 1e6, megabytes) for done, megabytes in self._settled()]
        return linear_regression(*zip(*settled, strict=True)).slope

    @property
    def settled(self) -> float:
        """Megabytes when it had settled."""
        return self._settled()[0][1]

    @property
    def highest(self) -> float:
        """Megabytes at most."""
        return max(megabytes for _, megabytes in self.samples)

    @property
    def is_flat(self) -> bool:
        """True when it does not grow with what it has done."""
        return self.slope < _FLAT

    def run(self) -> Audit:
        """All records, and the books."""
        feed = Feed(self.site, self.count)
        with self.site.folder.running("--slot", "soak") as service:
            done, moved = 0, time.monotonic()
            while done < self.count:
                before, done = done, self._done(feed)
                feed.allow(done + _AHEAD)
                if done > before:
                    moved = time.monotonic()
                    self._sample(done, service)
                assert time.monotonic() < moved + _STANDS_STILL, f"it stands still; {service.last_words()}"
                time.sleep(1)
            feed.finish()
            self.site.until_done(service)
            assert service.stop() == 0, service.last_words()
        return self.site.close_books()

    def _done(self, feed: Feed) -> int:
        """Records behind the service, nearly: offsets count transaction markers and aborted records too."""
        end = self.site.end()
        return feed.written * self.site.committed() // end if end else 0

    def _sample(self, done: int, service: Running) -> None:
        status = Path(f"/proc/{service.pid}/status").read_text()
        kilobytes = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
        self.samples.append((done, kilobytes / 1024))
        self.tell(*self.samples[-1])

    def _settled(self) -> list[tuple[int, float]]:
        return [sample for sample in self.samples if sample[0] >= self.count * _SETTLED]
