"""The head that every HTML page of ours has."""

from html import escape


def head(title: str, style: str, policy: str = "") -> str:
    """From <html> to </head>, for a page that opens offline, on a phone as well. style: CSS. policy: what the
    page may load and run, as a Content-Security-Policy; "" sets none."""
    limits = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n' if policy else ""
    return f"""<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{limits}<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>"""
