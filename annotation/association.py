"""Which boxes of following frames are one object: detections become tracks, as ByteTrack does.

Source: Zhang et al., ByteTrack: Multi-Object Tracking by Associating Every Detection Box (arXiv 2110.06864). A Kalman filter of
constant velocity foretells each track's box; sure detections are matched first, unsure ones then with what is left, so that
an object half hidden keeps its track. Own code: the kept libraries bring a second OpenCV or a compiler with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotation import geometry

Floats = NDArray[np.float64]
NEW_MARGIN = 0.1
"""A track begins with a score this much over the sure one."""
# Uncertainty of place and speed as a share of the box's height, as in Wojke et al., DeepSORT (arXiv 1703.07402).
_PLACE, _SPEED = 1 / 20, 1 / 160


@dataclass(frozen=True, slots=True)
class Rules:
    """Thresholds of the paper.

    Attributes:
        sure: score from which a detection is matched first and may begin a track. unsure: score from which it may go on with one.
        apart, apart_unsure, apart_new: 1 - IoU up to which a track and a detection can be one.
        patience: frames that a lost track waits to be found again.
    """

    sure: float = 0.5
    unsure: float = 0.1
    apart: float = 0.8
    apart_unsure: float = 0.5
    apart_new: float = 0.7
    patience: int = 30


@dataclass(slots=True)
class _Track:
    number: int
    kind: int
    mean: Floats
    spread: Floats
    seen: int
    hits: int = 1
    lost: bool = False

    @property
    def box(self) -> Floats:
        cx, cy, shape, h = self.mean[:4]
        w = shape * h
        return np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])


@dataclass(slots=True)
class Tracker:
    """Tracks over the frames of one camera, given in order. Numbers count from 1 and are never used twice.

    Unlike the paper's, a track has its number from its first frame on: frames are at hand, nobody waits for an answer.
    """

    rules: Rules = field(default_factory=Rules)
    _tracks: list[_Track] = field(default_factory=list)
    _frame: int = 0
    _next: int = 1

    def step(self, boxes: Floats, scores: Floats, kinds: Sequence[int]) -> list[int]:
        """The next frame.

        Args:
            boxes: float64 (n, 4) x0 y0 x1 y1, not empty ones. scores: (n,). kinds: class of each; tracks keep to one.

        Returns:
            The track's number for each detection; 0 = of no track.
        """
        self._frame += 1
        rules = self.rules
        out = [0] * len(scores)
        taken: list[int] = []
        for track in self._tracks:
            _foretell(track)
        kinds_ = np.asarray(kinds, np.int64)
        sure = [i for i in range(len(scores)) if scores[i] >= rules.sure]
        unsure = [i for i in range(len(scores)) if rules.unsure <= scores[i] < rules.sure]
        confirmed = [t for t in self._tracks if t.hits > 1]
        fresh = [t for t in self._tracks if t.hits == 1]

        def matched(tracks: list[_Track], which: list[int], limit: float, *, weigh: bool) -> None:
            if not tracks or not which:
                return
            near = geometry.iou(np.stack([t.box for t in tracks]), boxes[which])
            cost = 1 - (near * scores[which] if weigh else near)
            cost[np.array([t.kind for t in tracks])[:, None] != kinds_[which]] = 2.0
            for row, column in assign(cost, limit):
                track, i = tracks[row], which[column]
                _correct(track, boxes[i])
                track.seen, track.hits, track.lost = self._frame, track.hits + 1, False
                out[i] = track.number
                taken.append(i)

        matched(confirmed, sure, rules.apart, weigh=True)
        left = [t for t in confirmed if t.seen != self._frame and not t.lost]
        matched(left, unsure, rules.apart_unsure, weigh=False)
        matched(fresh, [i for i in sure if i not in taken], rules.apart_new, weigh=True)
        for track in self._tracks:
            track.lost = track.seen != self._frame
        self._tracks = [
            t for t in self._tracks
            if t.seen == self._frame or (t.hits > 1 and self._frame - t.seen <= rules.patience)
        ]  # fmt: skip
        for i in sure:
            if i not in taken and scores[i] >= rules.sure + NEW_MARGIN:
                track = _begun(self._next, int(kinds_[i]), boxes[i], self._frame)
                track.hits += self._frame == 1
                self._next += 1
                self._tracks.append(track)
                out[i] = track.number
        return out


def assign(cost: Floats, limit: float) -> list[tuple[int, int]]:
    """Pairs (row, column) of least total cost, each of at most `limit`; others stay alone.

    Shortest augmenting paths with potentials (Jonker and Volgenant 1987), O(n^3), on the costs cut off at the limit.
    """
    n, m = cost.shape
    # Staying alone costs the limit: a row has a column of its own for it, so no pair above the limit is ever better.
    table = np.full((n, m + n), limit + 1e6)
    table[:, :m] = np.where(cost <= limit, cost, limit + 1e6)
    table[np.arange(n), m + np.arange(n)] = limit
    width = m + n
    rows, columns = np.zeros(n + 1), np.zeros(width + 1)
    owner = np.zeros(width + 1, np.int64)  # row of each column, counted from 1; 0 = free
    for row in range(1, n + 1):
        owner[0] = row
        here = 0
        least = np.full(width + 1, np.inf)
        back = np.zeros(width + 1, np.int64)
        used = np.zeros(width + 1, bool)
        while True:
            used[here] = True
            at = owner[here]
            reduced = table[at - 1] - rows[at] - columns[1:]
            free = ~used[1:]
            better = free & (reduced < least[1:])
            least[1:][better] = reduced[better]
            back[1:][better] = here
            following = 1 + int(np.argmin(np.where(free, least[1:], np.inf)))
            step = least[following]
            rows[owner[used]] += step
            columns[used] -= step
            least[~used] -= step
            here = following
            if owner[here] == 0:
                break
        while here:
            before = int(back[here])
            owner[here] = owner[before]
            here = before
    return [
        (int(owner[j]) - 1, j - 1) for j in range(1, m + 1) if owner[j] and cost[owner[j] - 1, j - 1] <= limit
    ]


def _begun(number: int, kind: int, box: Floats, frame: int) -> _Track:
    measured = _measured(box)
    h = measured[3]
    spread = np.array(
        [
            2 * _PLACE * h,
            2 * _PLACE * h,
            1e-2,
            2 * _PLACE * h,
            10 * _SPEED * h,
            10 * _SPEED * h,
            1e-5,
            10 * _SPEED * h,
        ]
    )
    return _Track(number, kind, np.concatenate([measured, np.zeros(4)]), np.diag(spread**2), frame)


def _measured(box: Floats) -> Floats:
    """Centre, width over height, height."""
    w, h = box[2] - box[0], max(float(box[3] - box[1]), 1e-6)
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, w / h, h])


_MOTION: NDArray[Any] = np.eye(8) + np.diag(np.ones(4), 4)


def _foretell(track: _Track) -> None:
    """Where the track is one frame on."""
    if track.lost:
        track.mean[7] = 0.0  # the height of what is not seen does not grow
    h = track.mean[3]
    noise = np.array([_PLACE * h, _PLACE * h, 1e-2, _PLACE * h, _SPEED * h, _SPEED * h, 1e-5, _SPEED * h])
    track.mean = _MOTION @ track.mean
    track.spread = _MOTION @ track.spread @ _MOTION.T + np.diag(noise**2)


def _correct(track: _Track, box: Floats) -> None:
    """The track where it was seen."""
    h = track.mean[3]
    noise = np.diag(np.array([_PLACE * h, _PLACE * h, 1e-1, _PLACE * h]) ** 2)
    between = track.spread[:4, :4] + noise
    gain = np.linalg.solve(between, track.spread[:4]).T
    track.mean = track.mean + gain @ (_measured(box) - track.mean[:4])
    track.spread = track.spread - gain @ between @ gain.T
