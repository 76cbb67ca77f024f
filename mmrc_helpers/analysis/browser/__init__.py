"""Every answer of a run or a study to look at, one after the other: in a notebook (`widget`) and as one page
that needs nothing else (`page`). Both show the same `contents` by the same script, browser.js."""
