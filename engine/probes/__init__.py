"""One file per question that a panel can ask."""
