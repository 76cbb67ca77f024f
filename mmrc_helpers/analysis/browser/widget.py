"""The browser in a notebook. The script asks the kernel once for the contents and, as they come into view,
for single pictures."""

import gzip
import json

import anywidget

from mmrc_helpers.analysis import reading
from mmrc_helpers.analysis.browser import page
from mmrc_helpers.analysis.browser.contents import Pictures, gather, packed
from mmrc_helpers.errors import UserError
from mmrc_helpers.study.runs import Run, Study


class AnswerBrowser(anywidget.AnyWidget):
    """Shows the answers of a run or a study. Raises UserError when there are none."""

    _esm = (page.HERE / "browser.js").read_text("utf-8")
    _css = (page.HERE / "browser.css").read_text("utf-8")

    def __init__(self, opened: Run | Study):
        reading.runs_of(opened)
        super().__init__()
        self._opened, self._pictures, self._contents = opened, Pictures(), b""
        self.on_msg(AnswerBrowser._answer)

    def _answer(self, message: dict, buffers: list) -> None:
        """Sends what the script asks for: {key, picture: number}, or {key} for the contents."""
        try:
            wanted = self._pictures.bytes(message["picture"]) if "picture" in message else self.contents()
        except UserError as error:
            self.send({"key": message["key"], "error": str(error)})
            return
        self.send({"key": message["key"]}, [wanted])

    def contents(self) -> bytes:
        """All questions and answers as compressed JSON; gathered when first wanted."""
        if not self._contents:
            data = packed(gather(self._opened), self._pictures)
            self._contents = gzip.compress(json.dumps(data, ensure_ascii=False, allow_nan=False).encode(), 1)
        return self._contents
