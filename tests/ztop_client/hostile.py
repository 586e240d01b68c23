"""Names, command lines and the like as somebody would choose them who means harm, or writes another script."""

HOSTILE = (
    "new\nline",
    "\x1b]52;c;aGFja2Vk\x07",
    "\x1b[2J\x1b[H",
    "a) b (c",
    "\x9b31m\x85",
    b"\xff\xfe invalid \xc3".decode("utf-8", "surrogateescape"),
    "漢字 テスト " * 30,
    "e\u0301\u0302\u0303 combining",
    "\u0301 starts with one",
    "👩‍👩‍👧 family 🇩🇪 ⚠️ 👍🏽",
    "\u202e right to left \u2066",
    "क्षि নমস্কার ที่",
    "tab\there",
    "\x7f\x00",
    "",
    " " * 400,
    "x" * 5000,
)
