"""Versions: freeze, compare, take out, prove, make anew."""

from __future__ import annotations

from app.desktop.actions.action import Action
from app.desktop.versioned import compare, taking

ROWS: tuple[Action, ...] = (
    Action("versions.compare", "Compare versions…", lambda w: compare.show(w), ("Ctrl+Alt+D",), words="diff difference 版本 比较 对比 差异",
           when=lambda w: w.desk.dataset is not None),
    Action("versions.checkout", "Check a version out…", lambda w: taking.ask(w), words="checkout materialise folder 版本 检出 取出",
           when=lambda w: w.desk.dataset is not None),
    Action("versions.verify", "Verify the newest version", lambda w: w.sheets.verify((w.desk.dataset and w.desk.dataset.last_tag) or ""), words="proof digest 校验 版本",
           when=lambda w: w.desk.dataset is not None and bool(w.desk.dataset.last_tag)),
    Action("versions.rebuild", "Rebuild the newest version", lambda w: taking.rebuild(w), words="rebuild root sources 重建 版本",
           when=lambda w: w.desk.dataset is not None and bool(w.desk.dataset.last_tag)),
)  # fmt: skip
