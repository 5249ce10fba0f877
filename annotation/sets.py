"""AnnotationSets as wholes: find in one, lay changes over one, tell two apart. What did not change stays the same object.

Both cost what changed, but for passes at C speed (0.5 ms over 20,000): a gesture on a crowded page must not pay for the page.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable
from operator import attrgetter, is_

from annotation.core import Annotation, AnnotationSet

_uid = attrgetter("uid")
_ONE_BY_ONE = 500
"""With more changes than this the set is built anew, which then costs less than moving its tail each time."""


def find(annotations: AnnotationSet, uid: str) -> Annotation | None:
    """The annotation of that uid in a set in the order of uids, or None."""
    at = bisect_left(annotations, uid, key=_uid)
    return annotations[at] if at < len(annotations) and annotations[at].uid == uid else None


def laid_over(old: AnnotationSet, changed: Iterable[Annotation], gone: Collection[str] = ()) -> AnnotationSet:
    """`old` with annotations put in, or put in the place of those of their uid, and others taken out.

    Args:
        old: in the order of uids; so is the result.
        gone: uids; one that is not there is no fault.
    """
    news = list(changed)
    if len(news) + len(gone) > _ONE_BY_ONE:
        found = {a.uid: a for a in old}
        found.update((a.uid, a) for a in news)
        for uid in gone:
            found.pop(uid, None)
        return tuple(sorted(found.values(), key=_uid))
    out = list(old)
    for a in news:
        at = bisect_left(out, a.uid, key=_uid)
        if at < len(out) and out[at].uid == a.uid:
            out[at] = a
        else:
            out.insert(at, a)
    for uid in gone:
        at = bisect_left(out, uid, key=_uid)
        if at < len(out) and out[at].uid == uid:
            del out[at]
    return tuple(out)


def difference(old: AnnotationSet, new: AnnotationSet) -> tuple[list[Annotation], list[str]]:
    """(annotations of `new` that `old` does not hold so, uids that `new` has no more), in whatever order both are."""
    at = [i for i, same in enumerate(map(is_, old, new)) if not same]
    if len(new) >= len(old) and all(old[i].uid == new[i].uid for i in at):
        return [new[i] for i in at if old[i] != new[i]] + list(new[len(old) :]), []
    olds, news = frozenset(map(id, old)), frozenset(map(id, new))
    left = {a.uid: a for a in old if id(a) not in news}
    fresh = [a for a in new if id(a) not in olds]
    there = {a.uid for a in fresh}
    return [a for a in fresh if left.get(a.uid) != a], [uid for uid in left if uid not in there]
