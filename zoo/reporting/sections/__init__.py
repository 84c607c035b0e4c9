"""One module a section of a page; each makes a `Section`, or `None` where there is nothing to show."""
