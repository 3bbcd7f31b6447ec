"""One script a question; figures and the commands that gave them are in RESULTS.md."""
