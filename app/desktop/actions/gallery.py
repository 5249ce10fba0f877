"""What can be done in the gallery."""

from __future__ import annotations

from app.desktop import worth
from app.desktop.actions.action import Action

_GALLERY = "gallery"

ROWS: tuple[Action, ...] = (
    Action("gallery.find", "Write a query", lambda w: w.gallery.line.start(), ("/", "Ctrl+F"), _GALLERY, "search filter 查询 筛选"),
    Action("gallery.objects", "Pictures or objects", lambda w: w.gallery.toggle_objects(), ("O",), _GALLERY, "crops 裁切 对象"),
    Action("gallery.boxes", "Objects over the pictures", lambda w: w.gallery.toggle_outlines(), ("B",), _GALLERY, "overlay outlines 框"),
    Action("gallery.sort", "Choose the order", lambda w: w.gallery.choose_sort(), ("K",), _GALLERY, "sort 排序"),
    Action("gallery.turn", "Turn the order round", lambda w: w.gallery.turn_sort(), ("Shift+K",), _GALLERY, "descending 倒序"),
    Action("gallery.save", "Save this filter", lambda w: w.gallery.save_filter(), ("Ctrl+S",), _GALLERY, "keep 保存"),
    Action("gallery.measure", "Measure the pictures", lambda w: w.gallery.measure_pictures(), (), _GALLERY, "brightness sharpness quality 质量 清晰度"),
    Action("worth", "Worth labelling first…", lambda w: worth.ask(w), ("Ctrl+Shift+W",), words="active learning uncertainty queue order 价值 先标 主动学习"),
    Action("gallery.clean", "Cleaning", lambda w: w.gallery.cleaning.toggle(), ("Shift+C",), _GALLERY, "duplicates blur dark glare dust frozen thin 清洗 去重 重复 模糊"),
    Action("gallery.group", "The current picture with its group", lambda w: w.gallery.show_group(), ("Shift+G",), _GALLERY, "duplicates alike 同组 相似"),
    Action("gallery.keep", "Keep this one of its group", lambda w: w.gallery.cleaning.keep(), ("Shift+P",), _GALLERY, "duplicates best 保留 去重"),
    Action("gallery.larger", "Larger pictures", lambda w: w.gallery.slider.setValue(w.gallery.slider.value() + 24), ("+", "="), _GALLERY, repeat=True),
    Action("gallery.smaller", "Smaller pictures", lambda w: w.gallery.slider.setValue(w.gallery.slider.value() - 24), ("-",), _GALLERY, repeat=True),
    Action("gallery.all", "Choose all that match", lambda w: w.gallery.choose_all(), ("Ctrl+A",), _GALLERY, "select 全选"),
    Action("gallery.clear", "Choose nothing", lambda w: w.gallery.clear(), ("Escape",), _GALLERY, listed=False),
    Action("gallery.accept", "Accept what is chosen", lambda w: w.gallery.deeds.accept(), ("A",), _GALLERY, "bulk 接受"),
    Action("gallery.reject", "Reject what is chosen", lambda w: w.gallery.deeds.reject(), ("X",), _GALLERY, "bulk 拒绝"),
    Action("gallery.relabel", "Change the class of what is chosen", lambda w: w.gallery.deeds.relabel(), ("C",), _GALLERY, "bulk relabel 改类"),
    Action("gallery.attribute", "Set an attribute of what is chosen", lambda w: w.gallery.deeds.attribute(), ("S",), _GALLERY, "bulk 属性"),
    Action("gallery.tag", "Tag the chosen pictures", lambda w: w.gallery.deeds.tag(), ("T",), _GALLERY, "bulk 打标签"),
    Action("gallery.assign", "Assign the chosen pictures", lambda w: w.gallery.deeds.assign(), ("G",), _GALLERY, "bulk person 指派"),
    Action("gallery.submit", "Submit the chosen pictures", lambda w: w.gallery.deeds.judge("submitted"), ("U",), _GALLERY, "bulk review 提交"),
    Action("gallery.return", "Return the chosen pictures", lambda w: w.gallery.deeds.judge("returned"), ("R",), _GALLERY, "bulk review 退回"),
    Action("gallery.pass", "Pass the chosen pictures", lambda w: w.gallery.deeds.judge("accepted"), ("Shift+A",), _GALLERY, "bulk review accept 通过"),
    Action("gallery.delete", "Delete the chosen objects", lambda w: w.gallery.deeds.delete(), ("Del",), _GALLERY, "bulk 删除"),
    Action("gallery.undo", "Undo the last bulk action", lambda w: w.gallery.deeds.undo(), ("Ctrl+Z",), _GALLERY, "撤销"),
)  # fmt: skip
