"""What may leave, and the ways in and out of the house."""

from __future__ import annotations

from app.desktop import splitting
from app.desktop.actions.action import Action
from app.desktop.carry import jobs, receiving, shuttle
from app.desktop.rights import auditlog, redacting, tags

ROWS: tuple[Action, ...] = (
    Action("tags", "What may leave…", lambda w: tags.show(w), ("Ctrl+Shift+P",), words="policy tag visibility purpose expiry gate 标签 外发 权限 可见"),
    Action("redact", "Redacted copies…", lambda w: redacting.show(w), ("Ctrl+Shift+R",), words="blur faces plates privacy metadata gps 脱敏 遮盖 隐私",
           when=lambda w: w.desk.dataset is not None),
    Action("audit", "Audit log…", lambda w: auditlog.show(w), ("Ctrl+Shift+C",), words="chain verify who 审计 日志"),
    Action("receive", "Receive a version…", lambda w: receiving.show(w), ("Ctrl+Shift+G",), words="hub fingerprint trust get download 接收 指纹 信任"),
    Action("receipts", "Receipts…", lambda w: receiving.show_receipts(w), words="signed arrived 回执",
           when=lambda w: w.desk.dataset is not None),
    Action("shuttle", "Shuttle disks…", lambda w: shuttle.show(w), ("Ctrl+Shift+M",), words="bagit disk pack unpack carry offline 移动硬盘 摆渡 打包"),
    Action("hubjobs", "Work at the hub…", lambda w: jobs.show(w), ("Ctrl+Shift+H",), words="train slurm ray kubernetes submit collect 训练 作业 集群"),
    Action("hubjobs.submit", "Order work at the hub…", lambda w: jobs.submit(w), words="train slurm job estimate 训练 提交",
           when=lambda w: w.desk.dataset is not None),
    Action("dataset.split", "Train, val and test…", lambda w: splitting.show(w), ("Ctrl+Shift+X",), words="split stratified ratio groups 划分 训练集 验证集 测试集",
           when=lambda w: w.desk.dataset is not None),
)  # fmt: skip
