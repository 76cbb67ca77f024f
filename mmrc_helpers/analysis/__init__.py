"""What it shows: answers become tables, tables become verdicts."""
