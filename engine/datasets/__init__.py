"""One file per data set or kind of source."""
