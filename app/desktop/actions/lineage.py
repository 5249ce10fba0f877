"""Where things come from, and the documents of a version."""

from __future__ import annotations

from app.desktop.actions.action import Action
from app.desktop.lineage import report, sheet

ROWS: tuple[Action, ...] = (
    Action("lineage", "Where it comes from…", lambda w: sheet.show(w), ("Ctrl+Shift+Y",), words="lineage provenance graph history 谱系 溯源 来源",
           when=lambda w: sheet.subject(w) is not None),
    Action("lineage.forward", "What became of it…", lambda w: sheet.show(w, direction="forward"), ("Ctrl+Alt+Y",), words="lineage descendants used 谱系 去向",
           when=lambda w: sheet.subject(w) is not None),
    Action("report", "Quality report and data card…", lambda w: report.ask(w), words="quality figures card pdf print 质量 报告 数据卡",
           when=lambda w: w.desk.dataset is not None),
)  # fmt: skip
